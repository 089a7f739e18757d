"""Checkpoints: a folder that is complete or does not exist.

generator_mask.safetensors, generator_unmask.safetensors,
discriminator_masked.safetensors, discriminator_unmasked.safetensors    weights, float32; the first of each pair only,
                                                                        if the method only puts masks on
generator_faces.safetensors, average_faces.safetensors,
discriminator_faces.safetensors                                         instead of these, if it makes new faces
state.pt           optimisers, plateaus, image pools, and the last weights where the files above hold averages of them;
                   loaded with weights_only=True
history.json       every point of the training curves
checkpoint.json    a readable description, written last; its licence is that of the data
masks.npy          the masks that the training drew (pipeline/masks/mask_set.py), where its method draws masks; in a
                   finished checkpoint, not in the states of a training, which has them from its packed images
"""

import io
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as serialize
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from models.face_networks import FaceGenerator
from models.networks import make_generator
from models.params import Direction, TrainParams, values_used
from models.training.checkpoint_info import SCHEMA as SCHEMA
from models.training.checkpoint_info import CheckpointInfo as CheckpointInfo
from models.training.checkpoint_info import StartingModel as StartingModel
from models.training.checkpoint_info import directions as directions
from models.training.checkpoint_info import makes_faces as makes_faces
from models.training.checkpoint_info import other_schema as other_schema
from models.training.checkpoint_info import read_info as read_info
from models.training.checkpoint_info import refuse_new_faces
from models.training.image_pool import ImagePool
from models.training.state_files import AVERAGE_FACES, HISTORY_NAME, STATE_NAME, weights_name
from models.training.state_files import DISCRIMINATORS as DISCRIMINATORS
from models.training.state_files import GENERATORS as GENERATORS
from models.training.state_files import JSON_NAME as JSON_NAME
from models.training.tracking import Row
from pipeline.errors import FacemaskError
from pipeline.masks import mask_set
from pipeline.storage.files import flush_to_disk, sha256

ARCHITECTURE = ("method", "width", "blocks", "discriminator_width")
"""The keys of `train` that determine the networks' shapes."""


@dataclass
class TrainingState:
    """Everything that training changes. Data order and pool draws follow from images_seen, linear
    learning rates from it and the seconds."""

    networks: dict[str, nn.Module]
    optimisers: dict[str, torch.optim.Optimizer]
    plateaus: dict[str, ReduceLROnPlateau]  # by optimiser; empty unless train.schedule is plateau
    pools: dict[str, ImagePool]  # by domain
    images_seen: int  # of each domain
    losses: Row  # running means
    history: list[Row]  # every point of the training curves
    seconds: float = 0.0  # of training, in all runs
    averages: dict[str, nn.Module] = field(default_factory=dict)
    """Generators with the average of their weights, where the method averages them: those that a checkpoint is for."""

    def results(self) -> dict[str, nn.Module]:
        """The networks of the checkpoint: averages in place of the networks that they are averages of."""
        return self.networks | self.averages


Describe = Callable[[dict[str, str]], CheckpointInfo]
"""weights_sha256 -> what checkpoint.json will contain."""


def save(folder: Path, state: TrainingState, describe: Describe) -> None:
    """Write a checkpoint: beside `folder`, flushed to disk, then renamed to it."""
    beside = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    digests = {name: _save_weights(beside / weights_name(name), network) for name, network in state.results().items()}
    rest = {
        "trained": {name: state.networks[name].state_dict() for name in state.averages},
        # As text: a pickle also records which strings are the same object, and a resumed run has other objects.
        "plateaus": {name: json.dumps(plateau.state_dict()) for name, plateau in state.plateaus.items()},
        "optimisers": {name: optimiser.state_dict() for name, optimiser in state.optimisers.items()},
        "pools": {name: pool.state_dict() for name, pool in state.pools.items()},
    }
    # Through a buffer: on a full disk torch.save and safetensors raise errors of their own, which do not say so.
    buffer = io.BytesIO()
    torch.save(rest, buffer)
    (beside / STATE_NAME).write_bytes(buffer.getbuffer())
    (beside / HISTORY_NAME).write_text(json.dumps(state.history), encoding="utf-8")
    for path in beside.iterdir():
        flush_to_disk(path)
    text = json.dumps(asdict(describe(digests)), indent=2, ensure_ascii=False) + "\n"
    (beside / JSON_NAME).write_text(text, encoding="utf-8")
    flush_to_disk(beside / JSON_NAME)
    flush_to_disk(beside)
    shutil.rmtree(folder, ignore_errors=True)
    beside.replace(folder)
    flush_to_disk(folder.parent)


def _save_weights(path: Path, network: nn.Module) -> str:
    """Write one network's weights; returns the file's sha256."""
    weights = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
    path.write_bytes(serialize(weights))
    return sha256(path)


def load(folder: Path, state: TrainingState, params: TrainParams, pack_sha256: str) -> None:
    """Load a checkpoint into `state`, to resume training.

    Raises FacemaskError if it was made with other networks or other packed images, or is damaged.
    """
    info = read_info(folder)
    refuse_other_networks(folder, info, params)
    refuse_other_pack(folder, info, pack_sha256)
    for name, network in state.results().items():
        _load_weights(folder, info, name, network)
    device = next(next(iter(state.networks.values())).parameters()).device
    rest = torch.load(folder / STATE_NAME, map_location=device, weights_only=True)
    for name in state.averages:
        state.networks[name].load_state_dict(rest["trained"][name])
    for name, optimiser in state.optimisers.items():
        optimiser.load_state_dict(_with_interned_keys(rest["optimisers"][name]))
    for name, plateau in state.plateaus.items():
        plateau.load_state_dict(json.loads(rest["plateaus"][name]))
    for name, pool in state.pools.items():
        pool.load_state_dict(rest["pools"][name], device)
    state.history = json.loads((folder / HISTORY_NAME).read_text(encoding="utf-8"))
    state.images_seen, state.losses, state.seconds = info.images_seen, info.losses, info.seconds


def _with_interned_keys(values: Any) -> Any:
    """The same dictionaries, with keys that are the same objects as in a state that was never saved.

    An optimiser that has not stepped yet makes its keys itself: the next pickle would differ from that of an
    uninterrupted training, in which both optimisers' keys are the same objects.
    """
    if isinstance(values, dict):
        return {
            sys.intern(key) if isinstance(key, str) else key: _with_interned_keys(value)
            for key, value in values.items()
        }
    return [_with_interned_keys(value) for value in values] if isinstance(values, list) else values


def load_networks(folder: Path, state: TrainingState) -> None:
    """Load only the weights of all networks into `state`, averages too, to start a new training from them."""
    info = read_info(folder)
    for networks in (state.networks, state.averages):
        for name, network in networks.items():
            _load_weights(folder, info, name, network)


def other_networks(info: CheckpointInfo, params: TrainParams) -> str:
    """How the checkpoint's networks differ from those of `params`, for people; empty if they do not."""
    wanted = values_used(params)
    # Of networks that make new faces, image_px decides how many blocks they have.
    keys = (*ARCHITECTURE, "image_px") if makes_faces(info) else ARCHITECTURE
    differ = [key for key in keys if info.params.get(key) != wanted[key]]
    return ", ".join(f"{key} {info.params.get(key)} instead of {wanted[key]}" for key in differ)


def refuse_other_networks(folder: Path, info: CheckpointInfo, params: TrainParams) -> None:
    """Raise FacemaskError if the checkpoint's networks are not those of `params`."""
    if differences := other_networks(info, params):
        raise FacemaskError(
            f"the checkpoint in {folder} is of another architecture ({differences}): "
            "set train in params.yaml to it, or move the checkpoint away"
        )


def refuse_other_pack(folder: Path, info: CheckpointInfo, pack_sha256: str) -> None:
    """Raise FacemaskError if the checkpoint was trained on other packed images."""
    if info.pack_sha256 != pack_sha256:
        raise FacemaskError(
            f"the checkpoint in {folder} was trained on other packed images "
            f"(pack {info.pack_sha256[:12]}, not {pack_sha256[:12]}): run 'dvc repro train'"
        )


def load_generators(folder: Path) -> tuple[dict[str, nn.Module], CheckpointInfo]:
    """The generators of a checkpoint, in evaluation mode: `generator_mask`, and `generator_unmask` where it has one."""
    info = read_info(folder)
    return {f"generator_{direction}": _load_generator(folder, info, direction) for direction in directions(info)}, info


def load_generator(folder: Path, direction: Direction) -> tuple[nn.Module, CheckpointInfo]:
    """One generator of a checkpoint, in evaluation mode. Raises FacemaskError if it has none of this direction."""
    info = read_info(folder)
    refuse_missing_direction(folder, info, direction)
    return _load_generator(folder, info, direction), info


def refuse_missing_direction(folder: Path, info: CheckpointInfo, direction: Direction) -> None:
    """Raise FacemaskError if the checkpoint has no generator of this direction."""
    refuse_new_faces(folder, info)
    if direction not in directions(info):
        raise FacemaskError(
            f"the model in {folder} (method {info.params.get('method')}) only puts masks on: "
            "name another one to take masks off, or 'drawing'"
        )


def load_face_generator(folder: Path) -> tuple[FaceGenerator, CheckpointInfo]:
    """The generator of new faces of a checkpoint, averaged over its training, in evaluation mode.

    Raises FacemaskError if the checkpoint translates photos instead.
    """
    info = read_info(folder)
    if not makes_faces(info):
        raise FacemaskError(
            f"the model in {folder} (method {info.params.get('method')}) changes photos and makes no new faces: "
            "run 'facemask apply', or train one with train.method: fastgan"
        )
    network = FaceGenerator(info.params["width"], info.params["image_px"])
    _load_weights(folder, info, AVERAGE_FACES, network)
    return network.eval(), info


def _load_generator(folder: Path, info: CheckpointInfo, direction: Direction) -> nn.Module:
    network = make_generator(info.generator, direction, info.params["width"], info.params["blocks"])
    _load_weights(folder, info, f"generator_{direction}", network)
    return network.eval()


def load_masks(folder: Path, info: CheckpointInfo) -> list[mask_set.LiftedMask]:
    """The masks that a checkpoint draws; empty if it has none of its own.

    Raises FacemaskError if the file is not the one that `info` describes.
    """
    if not info.masks_sha256:
        return []
    path = folder / mask_set.NAME
    if not path.is_file() or sha256(path) != info.masks_sha256:
        raise FacemaskError(f"{path} is not the file that {JSON_NAME} beside it names: restore it, or train again")
    return mask_set.read_masks(path)


def _load_weights(folder: Path, info: CheckpointInfo, name: str, network: nn.Module) -> None:
    """Load one network's weights, in place. Raises FacemaskError if the file is not the one that `info` describes."""
    path = folder / weights_name(name)
    try:
        if sha256(path) != info.weights_sha256[name]:
            raise FacemaskError(f"{path} is not the file that {JSON_NAME} beside it names: restore it, or train again")
        weights = load_file(path)
        if not all(value.isfinite().all() for value in weights.values()):
            raise FacemaskError(f"the weights in {path} are not finite: the training diverged, so train again")
        network.load_state_dict(weights)
    except (OSError, KeyError, SafetensorError, RuntimeError) as error:
        raise FacemaskError(
            f"{path} does not hold the weights that {JSON_NAME} beside it describes: restore it, or train again"
        ) from error
