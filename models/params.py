"""The params.yaml blocks `train`, `evaluate` and `retrain`; comments there give each key's unit and reason."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from pipeline.errors import FacemaskError
from pipeline.params import PARAMS_FILE, STRICT, build, parse, read

START_NAME = "start.json"
"""The file in data/start by which stage `start` tells stage `train` what it put there."""


PRESETS = Path("experiments")

Direction = Literal["mask", "unmask"]
GeneratorKind = Literal["guided", "resnet"]
AdversarialLoss = Literal["lsgan", "vanilla"]


@dataclass(frozen=True, config=STRICT)
class TrainParams:
    preset: str  # a file of experiments/, whose values have taken the place of the block's
    generator: GeneratorKind
    loss: AdversarialLoss
    image_px: Annotated[int, Field(ge=32, le=1024, multiple_of=4)]
    images: Annotated[int, Field(ge=1)]  # a domain
    batch_size: Annotated[int, Field(ge=1, le=256)]
    width: Annotated[int, Field(ge=4, le=256)]
    blocks: Annotated[int, Field(ge=1, le=20)]
    discriminator_width: Annotated[int, Field(ge=4, le=256)]
    learning_rate: Annotated[float, Field(gt=0, le=0.1)]
    schedule: Literal["linear", "plateau"]
    lambda_cycle: Annotated[float, Field(ge=0, le=100)]
    lambda_identity: Annotated[float, Field(ge=0, le=10)]
    lambda_matte: Annotated[float, Field(ge=0, le=100)]
    pool_size: Annotated[int, Field(ge=0, le=1000)]
    save_every_images: Annotated[int, Field(ge=1)]
    seed: Annotated[int, Field(ge=0)]
    precision: Literal["auto", "float32", "bfloat16"]
    compile: Literal["auto"] | bool


@dataclass(frozen=True, config=STRICT)
class EvaluateParams:
    images: Annotated[int, Field(ge=1)]  # a domain
    batch_size: Annotated[int, Field(ge=1, le=256)]
    grid_faces: Annotated[int, Field(ge=1, le=32)]


@dataclass(frozen=True, config=STRICT)
class RetrainParams:
    warm_start: bool
    tolerance: Annotated[float, Field(ge=0, le=1)]


def train_params() -> TrainParams:
    """The block `train` of params.yaml, under the preset that it names.

    Raises FacemaskError, naming file and key, for a preset that is not there, and for values of either that do not fit.
    """
    values = build("train", read(PARAMS_FILE, "train"), dict[str, Any], PARAMS_FILE)
    path = PRESETS / f"{values.get('preset')}.yaml"
    if "preset" in values and not path.is_file():
        known = ", ".join(sorted(file.stem for file in PRESETS.glob("*.yaml")))
        raise FacemaskError(f"there is no preset {path}: set train.preset in {PARAMS_FILE} to one of {known or 'none'}")
    preset = build("train", parse(path), dict[str, Any], path) if "preset" in values else {}
    return build("train", values | preset, TrainParams, path if preset else PARAMS_FILE)
