"""`facemask apply CHECKPOINT`: put a mask on every face of photos, or take masks off, with a trained generator."""

from functools import partial
from pathlib import Path

import torch

from models.inference.painter import paint_photo
from models.params import Direction
from models.training import checkpoint
from pipeline.masks.worn import use_one_thread
from pipeline.storage.files import sha256
from pipeline.tools.draw_masks import ANY_MASK, MaskChoice
from pipeline.tools.paint_photos import Task, paint_photos


def make_task(folder: Path, direction: Direction, choice: MaskChoice = ANY_MASK, *, side_by_side: bool = False) -> Task:
    """The task for the checkpoint in `folder`. Raises FacemaskError if there is none, or none of this direction."""
    checkpoint.refuse_missing_direction(folder, checkpoint.read_info(folder), direction)
    return Task(
        paint=partial(paint_photo, folder=folder.resolve(), direction=direction, choice=choice),
        use_one_thread=_use_one_thread,
        direction=direction,
        checkpoint=sha256(folder / checkpoint.JSON_NAME)[:12],
        side_by_side=side_by_side,
    )


def apply(folder: Path, images: list[Path], out: Path, *, unmask: bool, side_by_side: bool) -> None:
    """Write OUT/NAME.png for every photo of `images`, with each face painted by the checkpoint in `folder`.

    Raises FacemaskError if there is no checkpoint, and as paint_photos does.
    """
    paint_photos(images, out, make_task(folder, "unmask" if unmask else "mask", side_by_side=side_by_side))


def _use_one_thread() -> None:
    torch.set_num_threads(1)
    use_one_thread()
