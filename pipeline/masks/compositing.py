"""The mask renderer: (face, design, fit, style) -> layers, and (picture, layers) -> masked picture.

It works at any size of picture and draws no random numbers. Lengths are proportional to the width of the face.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.faces.regions import FACE_OVAL, JAW
from pipeline.masks.conditions import Conditions, light_on, texture_on
from pipeline.masks.fit import MaskFit, Placement, cut_placement, face_width, mask_to_pixels, place_mask, unfolded
from pipeline.masks.light import face_light, lit, white_balance
from pipeline.masks.photo_texture import PhotoTexture, add_grain, photo_texture
from pipeline.masks.records import ByteImage, FloatImage, MaskDesign, Points, UnmaskedFace
from pipeline.masks.straps import draw_straps
from pipeline.masks.warp import dense_map, fit_spline, resample

_SHADOWS = ((0.75, 0.006, 0.007), (0.55, 0.02, 0.03))  # each: strength; down, and sigma, as shares of the face's width
_STRAP_SHADOW = 0.8  # how strongly straps cast a shadow, beside the mask
_LEAST_BLUR, _LEAST_NOISE = 0.35, 0.3  # px, grey levels: less is not seen
ACROSS, DOWN = np.linspace(-1, 1, 9), np.linspace(0, 1, 7)
_CHIN, _FOREHEAD = 152, 10


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


def render_mask(
    face: UnmaskedFace, design: MaskDesign, fit: MaskFit, style: CompositeStyle, conditions: Conditions | None = None
) -> MaskLayers:
    """Render a mask on a face, as layers of the size of its picture.

    Light, cast, blur and grain are estimated from the picture, unless `conditions` are given.
    """
    whole = place_mask(face, fit)
    places = sheet_places(whole)
    left, top, right, bottom = _surroundings(whole, places)
    placement = cut_placement(whole, left, top, right, bottom)
    image = np.ascontiguousarray(face.image[top:bottom, left:right])
    colour, coverage = _warp_drawing(design.drawing, placement, places - (left, top))
    strap_alpha = draw_straps(design, placement)
    if conditions is None:
        light, tint = face_light(image, placement.face), white_balance(face.image, whole.face)
    else:
        light, tint = light_on(conditions, placement.face, bottom - top, right - left), conditions.tint
    light, tint = (np.asarray(1 - style.light + style.light * factors, np.float32) for factors in (light, tint))
    colour = lit(colour, light, tint)
    if style.pasted:
        coverage = _jagged(coverage)
    else:
        given = texture_on(conditions, placement.face) if conditions else None
        texture = given or photo_texture(image, placement.face)
        colour, coverage, strap_alpha = _as_photographed(texture, colour, coverage, strap_alpha)
    strap_colour = np.full_like(colour, design.strap_colour)
    shadow = _cast_shadow(coverage, strap_alpha, style.shadow, placement)

    def in_picture(layer: FloatImage) -> FloatImage:
        out = np.zeros((whole.height, whole.width, *layer.shape[2:]), np.float32)
        out[top:bottom, left:right] = layer
        return out

    coverage = in_picture(coverage)
    return MaskLayers(
        shadow=in_picture(shadow),
        straps=Layer(in_picture(lit(strap_colour, light, tint)), in_picture(strap_alpha)),
        mask=Layer(in_picture(colour), style.opacity * coverage),
        coverage=coverage,
    )


def compose(image: ByteImage, layers: MaskLayers) -> ByteImage:
    """Return the masked picture (H, W, 3)."""
    seen = (layers.shadow > 0) | (layers.straps.alpha > 0) | (layers.mask.alpha > 0)
    out = image.copy()
    if not seen.any():
        return out
    x, y, width, height = cv2.boundingRect(seen.view(np.uint8))
    box = (slice(y, y + height), slice(x, x + width))

    def cut(layer: Layer) -> Layer:
        return Layer(layer.colour[box], layer.alpha[box])

    shaded = image[box].astype(np.float32) * (1 - layers.shadow[box])[..., None]
    out[box] = to_bytes(blend(blend(shaded, cut(layers.straps)), cut(layers.mask)))
    return out


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


def _surroundings(placement: Placement, places: Points) -> tuple[int, int, int, int]:
    """The part of the picture that holds the face, the mask and its shadow: left, top, right, bottom in px."""
    margin = 0.15 * face_width(placement.face)
    places = np.concatenate([placement.face, places.reshape(-1, 2)])
    size = (placement.width, placement.height)
    left, top = np.floor(places.min(axis=0) - margin).astype(int).clip(0, np.array(size) - 1)
    right, bottom = np.ceil(places.max(axis=0) + margin).astype(int).clip((left + 1, top + 1), size)
    return int(left), int(top), int(right), int(bottom)


def sheet_places(placement: Placement) -> Points:
    """The places of the drawing's points ACROSS x DOWN in the picture, (rows, columns, 2) px."""
    across, down = (axis.ravel() for axis in np.meshgrid(ACROSS, DOWN))
    places = mask_to_pixels(placement, across, down).reshape(len(DOWN), len(ACROSS), 2)
    return unfolded(places, placement)


def _warp_drawing(drawing: FloatImage, placement: Placement, places: Points) -> tuple[FloatImage, FloatImage]:
    """Warp a drawing (h, w, 4), at its places (rows, columns, 2), onto the picture: colours (H, W, 3), alpha (H, W)."""
    height, width = drawing.shape[:2]
    across, down = (axis.ravel() for axis in np.meshgrid(ACROSS, DOWN))
    in_picture = places.reshape(-1, 2)
    in_drawing = np.column_stack([(across + 1) / 2 * (width - 1), down * (height - 1)])
    # A drawing larger than the mask in the picture would alias: filter it first.
    reduction = width / max(1.0, float(np.ptp(in_picture[:, 0])))
    if reduction > 1.3:
        drawing = np.asarray(cv2.GaussianBlur(drawing, (0, 0), 0.35 * reduction), np.float32)
    positions = dense_map(fit_spline(in_picture, in_drawing), placement.height, placement.width)
    warped = resample(drawing, positions, cv2.BORDER_CONSTANT)
    return warped[..., :3], np.clip(warped[..., 3], 0, 1) * _neighbourhood(in_picture, placement)


def _as_photographed(
    texture: PhotoTexture, colour: FloatImage, coverage: FloatImage, straps: FloatImage
) -> tuple[FloatImage, FloatImage, FloatImage]:
    """Give the colours (H, W, 3) and the alphas (H, W) of mask and straps the blur and the grain of the photo."""
    if texture.blur > _LEAST_BLUR:
        colour, coverage, straps = (
            np.asarray(cv2.GaussianBlur(layer, (0, 0), texture.blur), np.float32)
            for layer in (colour, coverage, straps)
        )
    if texture.noise > _LEAST_NOISE:
        colour = add_grain(colour, texture.noise)
    return colour, coverage, straps


def _neighbourhood(in_picture: NDArray[np.float64], placement: Placement) -> FloatImage:
    """1 in and near the mask, (H, W). Far from its points (N, 2), the spline may fold back into the drawing."""
    near = np.zeros((placement.height, placement.width), np.uint8)
    cv2.fillConvexPoly(near, cv2.convexHull(np.rint(in_picture).astype(np.int32)), 255)
    reach = max(4, round(0.02 * face_width(placement.face)))
    near = np.asarray(cv2.dilate(near, np.ones((2 * reach + 1, 2 * reach + 1))), np.uint8)
    return np.asarray(cv2.blur(near, (reach // 2 * 2 + 1,) * 2) / 255.0, np.float32)


def _jagged(alpha: FloatImage) -> FloatImage:
    """Return hard edges in steps of two pixels."""
    height, width = alpha.shape
    coarse = cv2.resize(alpha, (max(1, width // 2), max(1, height // 2)), interpolation=cv2.INTER_NEAREST)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_NEAREST) > 0.5, np.float32)


def _cast_shadow(coverage: FloatImage, straps: FloatImage, darkness: float, placement: Placement) -> FloatImage:
    """Return the shadow on the face and the neck: close to the mask and dark, and farther below it and faint."""
    if not darkness:
        return np.zeros_like(coverage)
    height, width = coverage.shape
    unit = face_width(placement.face)
    caster, total = np.maximum(coverage, _STRAP_SHADOW * straps), np.zeros_like(coverage)
    for share, offset, sigma in _SHADOWS:
        # A wide blur needs few pixels.
        step = max(1, int(sigma * unit / 2))
        small = cv2.resize(caster, (-(-width // step), -(-height // step)), interpolation=cv2.INTER_AREA)
        lower = np.array([[1, 0, 0], [0, 1, offset * unit / step]])
        small = cv2.warpAffine(small, lower, small.shape[::-1])
        small = cv2.GaussianBlur(small, (0, 0), max(0.5, sigma * unit / step))
        total += share * cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(darkness * total * (1 - coverage) * _receiver(placement), np.float32)


def _receiver(placement: Placement) -> FloatImage:
    """Where a shadow may fall, (H, W) 0-1: on the face and the neck, not on what is behind them."""
    face, unit = placement.face, face_width(placement.face)
    down = face[_CHIN] - face[_FOREHEAD]
    jaw = face[list(JAW)]
    neck = jaw.mean(axis=0) + 0.8 * (jaw - jaw.mean(axis=0)) + 0.35 * down
    outline = cv2.convexHull(np.rint(np.concatenate([face[list(FACE_OVAL)], neck])).astype(np.int32))
    alpha = np.zeros((placement.height, placement.width), np.uint8)
    cv2.fillConvexPoly(alpha, outline, 255)
    side = 2 * max(1, round(0.02 * unit)) + 1
    return np.asarray(cv2.blur(alpha, (side, side)) / 255.0, np.float32)
