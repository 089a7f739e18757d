"""Checkpoints: a folder that is there whole or not at all.

generator_mask.safetensors, generator_unmask.safetensors,
discriminator_masked.safetensors, discriminator_unmasked.safetensors    weights, float32
state.pt           optimisers, plateaus and image pools; read with weights_only=True
history.json       every point of the training curves
checkpoint.json    what it is, readable, written last; its licence line is the data's
"""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from models.networks import make_discriminator, make_generator
from models.params import Direction, TrainParams
from models.training.image_pool import ImagePool
from models.training.state_files import DISCRIMINATORS as DISCRIMINATORS
from models.training.state_files import GENERATORS as GENERATORS
from models.training.state_files import HISTORY_NAME, STATE_NAME, weights_name
from models.training.state_files import JSON_NAME as JSON_NAME
from models.training.tracking import Row
from pipeline.errors import FacemaskError
from pipeline.storage.files import sha256

SCHEMA = 3
DIRECTION: dict[str, Direction] = {"generator_mask": "mask", "generator_unmask": "unmask"}
ARCHITECTURE = ("generator", "width", "blocks", "discriminator_width")
"""The keys of `train` that fix the networks' shapes."""


@dataclass(frozen=True)
class CheckpointInfo:
    """checkpoint.json."""

    schema: int
    images_seen: int  # a domain
    params: dict[str, Any]  # the block `train`
    pack_sha256: str  # of pack.json, which holds a digest of all packed images
    weights_sha256: dict[str, str]  # network -> sha256 of its safetensors file
    losses: Row  # running means
    data_licence: str
    started_from: dict[str, str] | None = None  # start.json: the model whose weights training began with, if any


@dataclass
class TrainingState:
    """Everything that training changes. Data order, pool draws and linear learning rates follow from images_seen."""

    networks: dict[str, nn.Module]
    optimisers: dict[str, torch.optim.Optimizer]
    plateaus: dict[str, ReduceLROnPlateau]  # of the optimisers, where train.schedule is plateau; else none
    pools: dict[str, ImagePool]
    images_seen: int
    losses: Row
    history: list[Row]


Describe = Callable[[dict[str, str]], CheckpointInfo]


def save(folder: Path, state: TrainingState, describe: Describe) -> None:
    """Write beside, flush to disk, rename. `describe` gets the weights' digests and gives checkpoint.json."""
    beside = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    digests = {}
    for name, network in state.networks.items():
        path = beside / weights_name(name)
        weights = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
        save_file(weights, path)
        path.chmod(0o644)  # safetensors makes files that only their owner may read
        digests[name] = sha256(path)
    rest = {
        # As text: a pickle also tells which strings are one object, and a resumed run's are others.
        "plateaus": {name: json.dumps(plateau.state_dict()) for name, plateau in state.plateaus.items()},
        "optimisers": {name: optimiser.state_dict() for name, optimiser in state.optimisers.items()},
        "pools": {name: pool.state_dict() for name, pool in state.pools.items()},
    }
    torch.save(rest, beside / STATE_NAME)
    (beside / HISTORY_NAME).write_text(json.dumps(state.history), encoding="utf-8")
    for path in beside.iterdir():
        _flush(path)
    text = json.dumps(asdict(describe(digests)), indent=2, ensure_ascii=False) + "\n"
    (beside / JSON_NAME).write_text(text, encoding="utf-8")
    _flush(beside / JSON_NAME)
    _flush(beside)
    shutil.rmtree(folder, ignore_errors=True)
    beside.replace(folder)
    _flush(folder.parent)


def _flush(path: Path) -> None:
    """Have a file, or a folder's names, on disk before going on."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_info(folder: Path) -> CheckpointInfo:
    if other := other_schema(folder):
        raise FacemaskError(f"{folder / JSON_NAME} has {other}: run 'dvc repro -f train'")
    return CheckpointInfo(**_read_json(folder))


def other_schema(folder: Path) -> str:
    """In which way the checkpoint is not of this code's form; empty where it is."""
    schema = _read_json(folder).get("schema")
    return "" if schema == SCHEMA else f"schema {schema}, not {SCHEMA}"


def _read_json(folder: Path) -> dict[str, Any]:
    try:
        values: dict[str, Any] = json.loads((folder / JSON_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FacemaskError(f"no checkpoint in {folder}: run 'dvc repro train'") from error
    return values


def load(folder: Path, state: TrainingState, params: TrainParams, pack_sha256: str) -> None:
    """Put a checkpoint into `state`, in place. Refuses one of other networks, parameters or data."""
    info = read_info(folder)
    refuse_other_networks(folder, info, params)
    refuse_other_pack(folder, info, pack_sha256)
    for name, network in state.networks.items():
        _load_weights(folder, info, name, network)
    device = next(iter(state.networks.values())).parameters().__next__().device
    rest = torch.load(folder / STATE_NAME, map_location=device, weights_only=True)
    for name, optimiser in state.optimisers.items():
        optimiser.load_state_dict(rest["optimisers"][name])
    for name, plateau in state.plateaus.items():
        plateau.load_state_dict(json.loads(rest["plateaus"][name]))
    for name, pool in state.pools.items():
        pool.load_state_dict(rest["pools"][name], device)
    state.history = json.loads((folder / HISTORY_NAME).read_text(encoding="utf-8"))
    state.images_seen, state.losses = info.images_seen, info.losses


def load_networks(folder: Path, state: TrainingState) -> None:
    """Put a checkpoint's weights into all four networks, in place, and nothing else of it: for a new training."""
    info = read_info(folder)
    for name, network in state.networks.items():
        _load_weights(folder, info, name, network)


def other_networks(info: CheckpointInfo, params: TrainParams) -> str:
    """In which ways the networks have other shapes than `params` asks for; empty where they fit."""
    wanted = asdict(params)
    differ = [key for key in ARCHITECTURE if info.params.get(key) != wanted[key]]
    return ", ".join(f"{key} {info.params.get(key)} instead of {wanted[key]}" for key in differ)


def refuse_other_networks(folder: Path, info: CheckpointInfo, params: TrainParams) -> None:
    if told := other_networks(info, params):
        raise FacemaskError(
            f"the checkpoint in {folder} is of another architecture ({told}): "
            "set train in params.yaml to it, or move the checkpoint away"
        )


def refuse_other_pack(folder: Path, info: CheckpointInfo, pack_sha256: str) -> None:
    if info.pack_sha256 != pack_sha256:
        raise FacemaskError(
            f"the checkpoint in {folder} was trained on other packed images "
            f"(pack {info.pack_sha256[:12]}, not {pack_sha256[:12]}): run 'dvc repro train'"
        )


def load_generators(folder: Path) -> tuple[dict[str, nn.Module], CheckpointInfo]:
    """Both generators as the JSON describes them, ready to use: `generator_mask` and `generator_unmask`."""
    info = read_info(folder)
    generators = {}
    for name in GENERATORS:
        network = make_generator(info.params["generator"], DIRECTION[name], info.params["width"], info.params["blocks"])
        _load_weights(folder, info, name, network)
        generators[name] = network.eval()
    return generators, info


def make_networks(params: TrainParams) -> dict[str, nn.Module]:
    """The four networks, freshly drawn from the seed."""
    torch.manual_seed(params.seed)
    networks = {
        name: make_generator(params.generator, direction, params.width, params.blocks)
        for name, direction in DIRECTION.items()
    }
    return networks | {
        "discriminator_masked": make_discriminator(params.generator, "masked", params.discriminator_width),
        "discriminator_unmasked": make_discriminator(params.generator, "unmasked", params.discriminator_width),
    }


def _load_weights(folder: Path, info: CheckpointInfo, name: str, network: nn.Module) -> None:
    path = folder / weights_name(name)
    try:
        if sha256(path) != info.weights_sha256[name]:
            raise FacemaskError(f"{path} is not the file that {JSON_NAME} beside it names: fetch or train it again")
        network.load_state_dict(load_file(path))
    except (OSError, KeyError, SafetensorError, RuntimeError) as error:
        raise FacemaskError(
            f"{path} does not hold the weights that {JSON_NAME} beside it describes: fetch or train it again"
        ) from error
