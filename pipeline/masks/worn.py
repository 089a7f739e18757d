"""Masks drawn on a face as they are worn: the named kinds of `facemask apply`, and varied ones to train on."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.faces.regions import polygon_mask
from pipeline.masks.catalogue import KINDS, OFTEN, Colour
from pipeline.masks.compositing import CompositeStyle, Layer, MaskLayers, render_mask
from pipeline.masks.designs import FAMILIES, draw_design
from pipeline.masks.fit import MaskFit, face_width
from pipeline.masks.light import exposed
from pipeline.masks.named_designs import draw_kind, draw_kind_fit
from pipeline.masks.records import ByteImage, MaskDesign, UnmaskedFace

DRAWING_CHANNELS = 5
"""Of a flattened drawing: RGB times alpha, alpha, shadow."""

PHOTOGRAPHED = CompositeStyle(light=1.0, shadow=0.42, pasted=False, opacity=1.0)
_ANY_COLOUR, _ANY_DESIGN = 0.35, 0.3  # shares of the varied masks
# Between the cheeks, below the nose and above the chin: every worn mask covers it.
_COVERED = (50, 205, 187, 192, 214, 170, 175, 395, 434, 416, 411, 425, 280, 4)


@dataclass(frozen=True)
class WornMask:
    """A mask and how it is worn, before it is on a picture."""

    design: MaskDesign
    fit: MaskFit


def draw_worn(
    face: UnmaskedFace, rng: np.random.Generator, kind: str | None = None, fabric: Colour | ByteImage | None = None
) -> MaskLayers:
    """Draw a mask as `facemask apply` does: of a kind, or of one as often as people wear it."""
    worn = design_worn(_width_px(face), rng, kind, fabric)
    return render_mask(face, worn.design, worn.fit, PHOTOGRAPHED)


def design_worn(
    width_px: float, rng: np.random.Generator, kind: str | None = None, fabric: Colour | ByteImage | None = None
) -> WornMask:
    """The mask that draw_worn draws on a face of a width."""
    often = OFTEN[int(rng.integers(len(OFTEN)))]  # drawn in any case: a seed gives the same wrinkles in any kind
    kind = kind or often
    design = draw_kind(rng, kind, fabric, round(width_px))
    return WornMask(design, draw_kind_fit(rng, kind))


def draw_like(face: UnmaskedFace, rng: np.random.Generator, seen: Colour) -> MaskLayers:
    """Draw a mask that has the colour `seen` in the picture, whatever its light: of the kind that has this colour."""
    layers = draw_worn(face, rng, kind_of_colour(seen), seen)
    solid = layers.mask.alpha > 0.9
    if not solid.any():
        return layers
    gain = np.array(seen) / np.maximum(np.median(layers.mask.colour[solid], axis=0), 1)
    colour = exposed(np.asarray(layers.mask.colour * gain.clip(0.5, 2), np.float32))
    return replace(layers, mask=Layer(colour, layers.mask.alpha))


def kind_of_colour(seen: Colour) -> str:
    """The kind that has a colour nearest to this one."""
    return min(KINDS, key=lambda name: min(_distance(colour, seen) for colour in KINDS[name].colours))


def draw_varied(face: UnmaskedFace, rng: np.random.Generator) -> MaskLayers:
    """Draw a mask of any kind, colour, print, light and edge, worn more loosely: to learn to take masks off."""
    light, shadow = float(rng.uniform(0.5, 1)), float(rng.uniform(0, 0.6))
    style = CompositeStyle(light, shadow, pasted=bool(rng.random() < 0.2), opacity=float(rng.uniform(0.95, 1)))
    drawn = rng.random()
    if drawn < _ANY_DESIGN:
        design = draw_design(rng, FAMILIES[int(rng.integers(len(FAMILIES) - 1))], face.image.astype(np.float32))
        fit = draw_kind_fit(rng, "surgical")
    else:
        kind = list(KINDS)[int(rng.integers(len(KINDS) - 1))]
        red, green, blue = rng.integers(10, 246, 3).tolist()
        fabric = (red, green, blue) if drawn < _ANY_DESIGN + _ANY_COLOUR else None
        design = draw_kind(rng, kind, fabric, round(_width_px(face)))
        fit = draw_kind_fit(rng, kind)
    loose = rng.uniform(-1, 1, 4)
    fit = MaskFit(
        top=fit.top + 0.15 * loose[0],
        bottom=fit.bottom + 0.2 * loose[1],
        left=fit.left - 0.04 * loose[2],
        right=fit.right + 0.04 * loose[2],
        tilt=fit.tilt + 0.06 * loose[3],
        arch=fit.arch,
    )
    return render_mask(face, design, fit, style)


def flatten(layers: MaskLayers) -> NDArray[np.uint8]:
    """Layers -> (H, W, 5) uint8: RGB times alpha, alpha, and the shadow beside the mask.

    A picture p under the mask is p (1 - shadow) (1 - alpha) + RGB; compositing.compose does the same in two steps.
    """
    straps, mask = layers.straps, layers.mask
    visible = (1 - mask.alpha) * straps.alpha
    colour = mask.colour * mask.alpha[..., None] + straps.colour * visible[..., None]
    flat = np.dstack([colour, 255 * (mask.alpha + visible), 255 * layers.shadow])
    return np.asarray(np.clip(np.rint(flat), 0, 255), np.uint8)


def mask_colour(image: ByteImage, points: NDArray[np.float32]) -> Colour:
    """The median colour where every mask is, of a masked face (H, W, 3) with landmarks (478, 2) as shares."""
    inside = polygon_mask(points, _COVERED, *image.shape[:2]) > 0
    red, green, blue = (np.median(image[inside], axis=0) if inside.any() else np.full(3, 128)).astype(int).tolist()
    return red, green, blue


def use_one_thread() -> None:
    """Have OpenCV draw in one thread: in worker processes, of which there is one per core."""
    cv2.setNumThreads(1)


def _distance(one: Colour, other: Colour) -> int:
    return sum((first - second) ** 2 for first, second in zip(one, other, strict=True))


def _width_px(face: UnmaskedFace) -> float:
    height, width = face.image.shape[:2]
    return face_width(face.landmarks.astype(np.float64) * (width, height))
