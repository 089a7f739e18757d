"""checkpoint.json: what it contains, and its reader. A module without torch, which takes seconds to import."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.params import Direction, GeneratorKind
from models.training.checkpoint_json import parse_checkpoint_json
from models.training.state_files import JSON_NAME
from models.training.tracking import Row
from pipeline.errors import FacemaskError

SCHEMA = 6


@dataclass(frozen=True)
class StartingModel:
    """start.json, and the same in checkpoint.json: the registered model that a training started from."""

    model: str  # its name
    checkpoint: str  # sha256 of its checkpoint.json


@dataclass(frozen=True)
class CheckpointInfo:
    """checkpoint.json."""

    schema: int
    images_seen: int  # of each domain
    generator: GeneratorKind  # the architecture of the generators
    params: dict[str, Any]  # the block `train`, without the blocks of other methods
    pack_sha256: str  # of pack.json, which contains a digest of all packed images
    weights_sha256: dict[str, str]  # network -> sha256 of its safetensors file
    losses: Row  # running means
    data_licence: str
    started_from: StartingModel | None = None
    seconds: float = 0.0  # of training
    masks_sha256: str = ""  # of masks.npy; empty: it has none


def read_info(folder: Path) -> CheckpointInfo:
    """Read checkpoint.json. Raises FacemaskError if it is missing, invalid or of another schema."""
    if other := other_schema(folder):
        raise FacemaskError(f"{folder / JSON_NAME} has {other}: run 'dvc repro -f train'")
    return parse_checkpoint_json(_read_json(folder), CheckpointInfo, folder / JSON_NAME)


def makes_faces(info: CheckpointInfo) -> bool:
    """Whether the checkpoint's generator makes new faces, and changes no photos."""
    return info.generator == "fastgan"


def refuse_new_faces(folder: Path, info: CheckpointInfo) -> None:
    """Raise FacemaskError if the checkpoint makes new faces, where one that changes photos is needed."""
    if makes_faces(info):
        raise FacemaskError(
            f"the model in {folder} (method {info.params.get('method')}) makes new faces and changes no photos: "
            f"run 'facemask sample {folder} --out DIR', or name another model"
        )


def other_schema(folder: Path) -> str:
    """How the checkpoint's schema differs from this code's, for people; empty if it does not."""
    schema = _read_json(folder).get("schema")
    return "" if schema == SCHEMA else f"schema {schema}, not {SCHEMA}"


def directions(info: CheckpointInfo) -> tuple[Direction, ...]:
    """The directions of a checkpoint's generators: a method may put masks on only, or make new faces only."""
    if makes_faces(info):
        return ()
    return ("mask", "unmask") if "generator_unmask" in info.weights_sha256 else ("mask",)


def _read_json(folder: Path) -> dict[str, Any]:
    try:
        values = json.loads((folder / JSON_NAME).read_text(encoding="utf-8"))
    except OSError as error:
        raise FacemaskError(f"no checkpoint in {folder}: run 'dvc repro train'") from error
    except (ValueError, RecursionError) as error:
        raise FacemaskError(f"{folder / JSON_NAME} is not JSON in UTF-8: restore it, or train again") from error
    if not isinstance(values, dict):
        raise FacemaskError(f"{folder / JSON_NAME} does not describe a checkpoint: restore it, or train again")
    return values
