"""Sample images of the training's progress: the same few faces at each checkpoint, one row each."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from models.face_networks import latent_vectors
from models.image_grids import image_grid, write_png
from models.params import Direction
from models.training.checkpoint import TrainingState
from models.training.data import evenly_spaced, to_pixels, whole_batch
from models.training.drawn_inputs import WholeDrawings
from models.training.state_files import AVERAGE_FACES, GENERATORS
from models.training.step import TrainingContext
from pipeline.masks.mask_set import NAME as MASKS
from pipeline.masks.mask_set import read_masks
from pipeline.storage.files import replacing
from pipeline.storage.packed_arrays import DOMAINS, SPLITS, PackedSet, read_set

_FACES = 3  # for each direction
_ROWS = 8


def write_row(folder: Path, state: TrainingState, pack: Path, context: TrainingContext) -> None:
    """Write one row: outputs of generator_mask, then of generator_unmask; before the first step the input faces.

    Of a method that makes new faces: the same few faces without and with their masks.
    """
    row = _new_faces(state, context) if AVERAGE_FACES in state.networks else _translated(state, pack, context)
    with replacing(folder / f"{state.images_seen:012d}.png") as beside:
        Image.fromarray(image_grid([row])).save(beside, format="PNG")


def _new_faces(state: TrainingState, context: TrainingContext) -> list[NDArray[np.uint8]]:
    latents = latent_vectors(context.params.seed, range(_FACES)).to(context.device.device)
    with torch.inference_mode(), context.device.autocast():
        made = state.networks[AVERAGE_FACES](latents)
    return [*to_pixels(made.unmasked), *to_pixels(made.masked)]


def _translated(state: TrainingState, pack: Path, context: TrainingContext) -> list[NDArray[np.uint8]]:
    row: list[NDArray[np.uint8]] = []
    masks = read_masks(pack / MASKS) if context.method.drawn_inputs(context.params).drawings else None
    directions: tuple[Direction, Direction] = ("mask", "unmask")
    for domain, direction, name in zip(DOMAINS, directions, GENERATORS, strict=True):
        if name not in state.networks:
            continue
        generator = state.results()[name]
        packed = _sample_set(pack, domain)
        chosen = evenly_spaced(len(packed), _FACES)
        drawn = None if masks is None else WholeDrawings(masks, (direction,))
        faces = whole_batch(packed, domain, chosen, context.params.image_px, drawn)
        images = faces.images
        if state.images_seen:
            faces = faces.on(context.device.device)
            with torch.inference_mode(), context.device.autocast():
                images, _ = generator(faces.images, faces.conditioning, faces.drawing_for(direction))
        row += list(to_pixels(images))
    return row


def compose_strip(folder: Path, target: Path) -> None:
    """Write up to 8 of the rows below each other, evenly spaced, with the first and the last one."""
    paths = sorted(folder.glob("*.png"))
    chosen = np.unique(np.linspace(0, len(paths) - 1, min(_ROWS, len(paths))).round().astype(int))
    write_png(target, image_grid([[np.asarray(Image.open(paths[index], formats=["PNG"]))] for index in chosen]))


def _sample_set(pack: Path, domain: str) -> PackedSet:
    """Faces of the test split, else of val, else of train: if possible some that training does not see."""
    for split in reversed(SPLITS):
        packed = read_set(pack, domain, split)
        if len(packed):
            return packed
    return packed
