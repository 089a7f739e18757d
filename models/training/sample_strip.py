"""The training's progress in pictures: the same few faces at each checkpoint, one row each."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from models.image_grids import image_grid, write_png
from models.params import TrainParams
from models.training.checkpoint import TrainingState
from models.training.data import evenly_spaced, to_pixels, whole_batch
from models.training.device import TrainingDevice
from pipeline.storage.files import replacing
from pipeline.storage.packed_arrays import DOMAINS, SPLITS, PackedSet, read_set

_FACES = 3  # a direction
_ROWS = 8


def write_strip(folder: Path, state: TrainingState, pack: Path, params: TrainParams, machine: TrainingDevice) -> None:
    """One row: faces with the mask put on, then with it taken off; the row of image 0 is the faces as they are."""
    row: list[NDArray[np.uint8]] = []
    for domain, name in zip(DOMAINS, ("generator_mask", "generator_unmask"), strict=True):
        packed = _faces_to_show(pack, domain)
        images, guides = whole_batch(packed, evenly_spaced(len(packed), _FACES), params.image_px)
        if state.images_seen:
            with torch.inference_mode(), machine.autocast():
                images, _ = state.networks[name](images.to(machine.device), guides.to(machine.device))
        row += list(to_pixels(images))
    with replacing(folder / f"{state.images_seen:012d}.png") as beside:
        Image.fromarray(image_grid([row])).save(beside, format="PNG")


def compose_strip(folder: Path, target: Path) -> None:
    """Up to 8 of the rows, evenly spread, the first and the last among them, below each other."""
    paths = sorted(folder.glob("*.png"))
    chosen = np.unique(np.linspace(0, len(paths) - 1, min(_ROWS, len(paths))).round().astype(int))
    write_png(target, image_grid([[np.asarray(Image.open(paths[index], formats=["PNG"]))] for index in chosen]))


def _faces_to_show(pack: Path, domain: str) -> PackedSet:
    """Faces that training does not see, where there are any."""
    for split in reversed(SPLITS):
        packed = read_set(pack, domain, split)
        if len(packed):
            return packed
    return packed
