"""The masks of a data set: some of its masks, lifted off its photos, as one array in a file.

Stage `pack` writes it beside the packed faces, training draws these masks, and a checkpoint has a copy of it. The file
is an array of records in NumPy's format, read without pickles: each is a flat drawing and how the mask is worn.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import FacemaskError
from pipeline.masks.compositing import MaskLayers, render_mask
from pipeline.masks.fit import MaskFit, face_width
from pipeline.masks.named_designs import MIN_WIDTH
from pipeline.masks.records import HEIGHT, WIDTH, MaskDesign, UnmaskedFace
from pipeline.masks.worn import PHOTOGRAPHED, draw_worn

NAME = "masks.npy"
"""The file's name, in a pack and in a checkpoint."""

MOST = 32
"""Masks in a set: 15 MB."""

CHIN_LEVEL = 4.3
"""Where the lower edge of a lifted mask is brought to, as masks/fit.py counts."""

_TOPS, _SIDES, _ARCH = (0.7, 0.9), (0.9, 1.0), 0.12  # of the fit: a mask is drawn as worn correctly

RECORD = np.dtype(
    [
        ("drawing", np.uint8, (HEIGHT, WIDTH, 4)),  # RGB, alpha
        ("strap_colour", np.uint8, 3),
        ("top", np.float32),  # of the fit, as masks/fit.py defines it
        ("side", np.float32),
        ("width_px", np.int32),  # of the mask in its photo
    ]
)


@dataclass(frozen=True)
class LiftedMask:
    """A mask of a photo, flat, and how it is worn."""

    design: MaskDesign
    fit: MaskFit
    width_px: int  # of the mask in its photo


def worn_fit(top: float, side: float) -> MaskFit:
    """The fit of a lifted mask whose upper edge was at `top` and whose sides at `side`: as worn correctly."""
    top, side = float(np.clip(top, *_TOPS)), float(np.clip(side, *_SIDES))
    return MaskFit(top, CHIN_LEVEL, -side, side, tilt=0.0, arch=_ARCH)


def write_masks(path: Path, masks: Sequence[LiftedMask]) -> None:
    """Write masks, their drawings scaled to WIDTH x HEIGHT."""
    records = np.zeros(len(masks), RECORD)
    for record, mask in zip(records, masks, strict=True):
        design = mask.design
        record["drawing"] = np.rint(_scaled(design.drawing, WIDTH) * (1, 1, 1, 255)).clip(0, 255)
        record["strap_colour"] = np.rint(design.strap_colour.reshape(3)).clip(0, 255)
        record["top"], record["side"], record["width_px"] = mask.fit.top, mask.fit.right, mask.width_px
    with path.open("wb") as file:
        np.save(file, records, allow_pickle=False)


def read_masks(path: Path) -> list[LiftedMask]:
    """Read masks. Raises FacemaskError where the file is missing or holds something else."""
    try:
        records = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise FacemaskError(f"{path} is missing or holds no masks: run 'dvc repro'") from error
    if records.dtype != RECORD or records.ndim != 1 or len(records) > MOST:
        raise FacemaskError(f"{path} holds no masks: run 'dvc repro'")
    if not (np.isfinite(records["top"]) & np.isfinite(records["side"])).all():
        raise FacemaskError(f"{path} holds a mask whose fit is not finite: run 'dvc repro'")
    return [_mask(record) for record in records]


def at_width(mask: LiftedMask, width_px: float) -> LiftedMask:
    """The mask with a drawing for a face that is `width_px` wide: a larger one would be drawn with jagged folds."""
    width = int(np.clip(round(width_px), MIN_WIDTH, WIDTH))
    if mask.design.drawing.shape[1] <= width:
        return mask
    return replace(mask, design=replace(mask.design, drawing=_scaled(mask.design.drawing, width)))


def draw_one_of(face: UnmaskedFace, rng: np.random.Generator, masks: Sequence[LiftedMask]) -> MaskLayers:
    """Draw one of the masks of a data set on a face; without any, a mask as `facemask apply` draws it."""
    if not masks:
        return draw_worn(face, rng)
    height, width = face.image.shape[:2]
    wanted = face_width(face.landmarks.astype(np.float64) * (width, height))
    mask = at_width(masks[int(rng.integers(len(masks)))], wanted)
    return render_mask(face, mask.design, mask.fit, PHOTOGRAPHED)


def _mask(record: NDArray[np.void]) -> LiftedMask:
    drawing = record["drawing"].astype(np.float32)
    drawing[..., 3] /= 255
    design = MaskDesign(drawing, "loops", record["strap_colour"].astype(np.float32))
    return LiftedMask(design, worn_fit(float(record["top"]), float(record["side"])), int(record["width_px"]))


def _scaled(drawing: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """A drawing (h, w, 4) at a width, averaged where it becomes smaller."""
    smaller = width < drawing.shape[1]
    size = (width, round(width * HEIGHT / WIDTH))
    return np.asarray(cv2.resize(drawing, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR))
