"""The mask renderer: (face, design, fit, style) -> layers, and (picture, layers) -> masked picture.

It works at any size of picture and draws no random numbers. Lengths are proportional to the width of the face.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.masks.fit import MaskFit, Placement, face_width, mask_to_pixels, place_mask
from pipeline.masks.light import face_light
from pipeline.masks.records import ByteImage, FloatImage, MaskDesign, UnmaskedFace
from pipeline.masks.straps import draw_straps
from pipeline.masks.warp import dense_map, fit_spline, resample

_SHADOW_OFFSET, _SHADOW_BLUR = 0.018, 0.02  # down, and sigma; shares of the face's width
_STRAP_SHADOW = 0.8  # how strongly straps cast a shadow, beside the mask


@dataclass(frozen=True)
class CompositeStyle:
    """How a mask is blended into a picture: as if photographed, or pasted as by MaskTheFace."""

    light: float  # share of the face's light that falls on the mask, 0-1
    shadow: float  # darkness of the shadow that the mask casts, 0-1
    pasted: bool  # hard, jagged edges
    opacity: float  # 0-1


@dataclass(frozen=True)
class Layer:
    """A layer to blend over a picture."""

    colour: FloatImage  # (H, W, 3) RGB 0-255
    alpha: FloatImage  # (H, W) 0-1


@dataclass(frozen=True)
class MaskLayers:
    """A rendered mask, in the order in which its layers are blended."""

    shadow: FloatImage  # (H, W) 0-1: share of the light that the picture loses beside the mask
    straps: Layer
    mask: Layer
    coverage: FloatImage  # (H, W) 0-1: where the mask is, whatever its opacity; straps do not count


def render_mask(face: UnmaskedFace, design: MaskDesign, fit: MaskFit, style: CompositeStyle) -> MaskLayers:
    """Render a mask on a face, as layers of the size of its picture."""
    placement = place_mask(face, fit)
    colour, coverage = _warp_drawing(design.drawing, placement)
    if style.pasted:
        coverage = _jagged(coverage)
    light = (1 - style.light + style.light * face_light(face.image, placement.face))[..., None]
    strap_alpha = draw_straps(design.straps, placement)
    return MaskLayers(
        shadow=_cast_shadow(coverage, strap_alpha, style.shadow, face_width(placement.face)),
        straps=Layer(design.strap_colour * light, strap_alpha),
        mask=Layer(colour * light, style.opacity * coverage),
        coverage=coverage,
    )


def compose(image: ByteImage, layers: MaskLayers) -> ByteImage:
    """Return the masked picture (H, W, 3)."""
    shaded = image.astype(np.float32) * (1 - layers.shadow)[..., None]
    return to_bytes(blend(blend(shaded, layers.straps), layers.mask))


def blend(picture: FloatImage, layer: Layer) -> FloatImage:
    """Return the picture (H, W, 3) with the layer over it."""
    return picture + (layer.colour - picture) * layer.alpha[..., None]


def to_bytes(picture: FloatImage) -> ByteImage:
    """Round RGB 0-255 to uint8."""
    return np.asarray(np.clip(np.rint(picture), 0, 255), np.uint8)


def draw_style(rng: np.random.Generator) -> CompositeStyle:
    """Draw a style: pasted or flat in 40 % of the draws, else photographed."""
    if rng.random() < 0.4:
        return CompositeStyle(light=0.0, shadow=0.0, pasted=bool(rng.random() < 0.7), opacity=1.0)
    return CompositeStyle(float(rng.uniform(0.4, 1)), float(rng.uniform(0, 0.5)), False, float(rng.uniform(0.93, 1)))


def _warp_drawing(drawing: FloatImage, placement: Placement) -> tuple[FloatImage, FloatImage]:
    """Warp a drawing (h, w, 4) onto the picture: colours (H, W, 3), alpha (H, W)."""
    height, width = drawing.shape[:2]
    across, down = (axis.ravel() for axis in np.meshgrid(np.linspace(-1, 1, 9), np.linspace(0, 1, 7)))
    in_picture = mask_to_pixels(placement, across, down)
    in_drawing = np.column_stack([(across + 1) / 2 * (width - 1), down * (height - 1)])
    # A drawing larger than the mask in the picture would alias: filter it first.
    reduction = width / max(1.0, float(np.ptp(in_picture[:, 0])))
    if reduction > 1.3:
        drawing = np.asarray(cv2.GaussianBlur(drawing, (0, 0), 0.35 * reduction), np.float32)
    positions = dense_map(fit_spline(in_picture, in_drawing), placement.height, placement.width)
    warped = resample(drawing, positions, cv2.BORDER_CONSTANT)
    return warped[..., :3], np.clip(warped[..., 3], 0, 1) * _neighbourhood(in_picture, placement)


def _neighbourhood(in_picture: NDArray[np.float64], placement: Placement) -> NDArray[np.uint8]:
    """1 in and near the mask, (H, W). Far from its points (N, 2), the spline may fold back into the drawing."""
    near = np.zeros((placement.height, placement.width), np.uint8)
    cv2.fillConvexPoly(near, cv2.convexHull(np.rint(in_picture).astype(np.int32)), 1)
    reach = max(4, round(0.02 * face_width(placement.face)))
    return np.asarray(cv2.dilate(near, np.ones((2 * reach + 1, 2 * reach + 1))), np.uint8)


def _jagged(alpha: FloatImage) -> FloatImage:
    """Return hard edges in steps of two pixels."""
    height, width = alpha.shape
    coarse = cv2.resize(alpha, (width // 2, height // 2), interpolation=cv2.INTER_NEAREST)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_NEAREST) > 0.5, np.float32)


def _cast_shadow(coverage: FloatImage, straps: FloatImage, darkness: float, unit: float) -> FloatImage:
    """Return the shadow beside the mask: below it and soft. `unit` is the face's width in px."""
    if not darkness:
        return np.zeros_like(coverage)
    height, width = coverage.shape
    lower = np.array([[1, 0, 0], [0, 1, _SHADOW_OFFSET * unit]])
    shadow = cv2.warpAffine(np.maximum(coverage, _STRAP_SHADOW * straps), lower, (width, height))
    shadow = cv2.GaussianBlur(shadow, (0, 0), max(0.5, _SHADOW_BLUR * unit))
    return np.asarray(darkness * shadow * (1 - coverage), np.float32)
