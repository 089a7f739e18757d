"""Variations of a portrait: another pose, proportions, tones, light and background."""

from dataclasses import dataclass

import cv2
import numpy as np

from pipeline.masks.compositing import to_bytes
from pipeline.masks.fit import face_width
from pipeline.masks.records import ByteImage, FloatImage, Points, UnmaskedFace
from pipeline.masks.warp import Spline, dense_map, fit_spline, resample
from pipeline.synthetic.backgrounds import draw_background
from pipeline.synthetic.portraits import MARGIN, Portrait


@dataclass(frozen=True)
class Shape:
    """Symmetric changes of proportion, as shares of the distance between the eyes."""

    jaw_width: float
    chin_drop: float
    eye_spacing: float
    brow_height: float
    nose_width: float
    nose_drop: float
    mouth_width: float
    lip_height: float


@dataclass(frozen=True)
class Tones:
    """A change of colours in CIELAB: a power of the lightness, a factor and an offset of a and b."""

    power: float  # 1 is no change
    chroma: float  # factor
    a: float
    b: float


@dataclass(frozen=True)
class Variation:
    """Everything but the background and the noise that makes one face from a portrait."""

    portrait: int  # index
    mirror: bool
    yaw: float  # radians, positive to the picture's right
    pitch: float  # radians, positive downward
    roll: float  # radians, clockwise
    scale: float  # 1 gives FFHQ's frame
    shift: tuple[float, float]  # share of the picture, right and down
    shape: Shape
    skin: Tones
    hair: Tones
    clothes: Tones
    clothes_hue: float  # rotation in the a-b plane, radians
    light_angle: float  # direction of the light, radians, 0 from the picture's right, clockwise
    light_strength: float  # natural logarithm of the change of light across half of the face
    exposure: float  # factor
    white_balance: tuple[float, float, float]  # factor on R, G, B
    blur: float  # sigma, share of the picture's side
    noise: float  # standard deviation, of 255


def draw_variation(rng: np.random.Generator, portraits: int) -> Variation:
    """Draw a variation of one of so many portraits; the bounds are those within which it still looks like a person."""

    def near(middle: float, spread: float) -> float:
        return middle + spread * float(np.clip(rng.normal(0, 0.6), -1, 1))

    dark = float(rng.beta(1.2, 2.2))
    return Variation(
        portrait=int(rng.integers(portraits)),
        mirror=bool(rng.random() < 0.5),
        yaw=near(0, np.radians(16)),
        pitch=near(0, np.radians(9)),
        roll=near(0, np.radians(11)),
        scale=near(0.97, 0.15),
        shift=(near(0, 0.06), near(0.0, 0.05)),
        shape=Shape(
            jaw_width=near(0, 0.10),
            chin_drop=near(0, 0.11),
            eye_spacing=near(0, 0.035),
            brow_height=near(0, 0.04),
            nose_width=near(0, 0.05),
            nose_drop=near(0, 0.05),
            mouth_width=near(0, 0.06),
            lip_height=near(0, 0.025),
        ),
        skin=Tones(1 + 0.9 * dark, near(0.95 - 0.2 * dark, 0.12), near(-0.5, 2.5), near(1.0, 3.0)),
        hair=Tones(near(1.15, 0.5), near(0.9, 0.6), near(1, 6.0), near(1, 6.0)),
        clothes=Tones(near(1.0, 0.35), near(0.85, 0.5), near(0, 7.0), near(0, 7.0)),
        clothes_hue=float(rng.uniform(0, 2 * np.pi)),
        light_angle=float(rng.uniform(0, 2 * np.pi)),
        light_strength=abs(near(0, 0.55)),
        exposure=near(1.0, 0.22),
        white_balance=(near(1.0, 0.07), 1.0, near(1.0, 0.08)),
        blur=max(0.0, near(0.0, 0.0025)),
        noise=abs(near(0.0, 2.5)),
    )


def render(
    portraits: tuple[Portrait, ...], variation: Variation, rng: np.random.Generator, image_px: int
) -> UnmaskedFace:
    """Render a face of image_px x image_px; background and noise are drawn from `rng`.

    Landmarks are numbered from the person's sides: in a mirrored face, those of its right side are on the picture's
    right.
    """
    portrait = portraits[variation.portrait]
    to_image = _canvas_to_image(variation, len(portrait.person), image_px)
    controls = np.vstack([portrait.points[[index for index, _ in _DEPTH]], *_fixed_points(portrait)])
    moved = _transform(_move_controls(portrait, variation, controls), to_image)
    # Resampling asks where each pixel comes from, so its spline maps the image to the canvas.
    backward = fit_spline(moved, controls)
    positions = dense_map(backward, image_px, image_px)
    person = resample(portrait.person, positions, cv2.BORDER_REPLICATE)
    parts = resample(portrait.parts, positions, cv2.BORDER_REPLICATE)
    alpha = np.clip(person[..., 3:], 0, 1)
    picture = _change_tones(person[..., :3], parts, variation)
    points = _invert(backward, fit_spline(controls, moved), portrait.points)
    if variation.mirror:
        points[:, 0] = image_px - 1 - points[:, 0]
        picture, alpha = picture[:, ::-1], alpha[:, ::-1]
    picture = picture * _light(points, variation, image_px)[..., None]
    background = draw_background(rng, image_px)
    image = _photograph(picture * alpha + background * (1 - alpha), variation, rng)
    return UnmaskedFace(image, ((points + 0.5) / image_px).astype(np.float32))


# Depth of landmarks toward the viewer, in distances between the eyes: MediaPipe's canonical face model, rounded.
_SYMMETRIC_DEPTH = {
    (33, 263): -0.30, (133, 362): -0.12, (159, 386): -0.15, (145, 374): -0.17,
    (70, 300): -0.18, (105, 334): 0.00, (107, 336): 0.10, (103, 332): -0.40,
    (129, 358): 0.20, (98, 327): 0.25, (61, 291): 0.08, (37, 267): 0.28, (84, 314): 0.24,
    (50, 280): 0.00, (205, 425): 0.08, (234, 454): -1.00, (132, 361): -0.85, (172, 397): -0.55,
    (150, 379): -0.20, (148, 377): 0.05,
}  # fmt: skip
_MIDDLE_DEPTH = {10: -0.10, 151: 0.05, 168: 0.10, 195: 0.32, 1: 0.60, 2: 0.40, 0: 0.32, 17: 0.26, 152: 0.08}
_DEPTH: tuple[tuple[int, float], ...] = (
    *((index, depth) for pair, depth in _SYMMETRIC_DEPTH.items() for index in pair),
    *_MIDDLE_DEPTH.items(),
)
_HEAD_DEPTH = -0.95
_AXIS_DEPTH = -0.8  # of the neck, around which the head turns
_AXIS_HEIGHT = 0.9  # of the same axis below the eyes, around which the head nods

# Landmarks that a change of shape moves, and by which share of it.
_JAW = {132: 0.5, 361: 0.5, 172: 1.0, 397: 1.0, 150: 0.7, 379: 0.7, 148: 0.2, 377: 0.2}
_CHIN = {152: 1.0, 148: 0.9, 377: 0.9, 150: 0.6, 379: 0.6, 172: 0.2, 397: 0.2}
_EYES = (33, 263, 133, 362, 159, 386, 145, 374, 70, 300, 105, 334)
_BROWS = (70, 300, 105, 334, 107, 336)


def _fixed_points(portrait: Portrait) -> tuple[Points, Points]:
    """Control points outside the face: the outline of the head, and the rim of the canvas, which stays in place."""
    size = len(portrait.person)
    rim = np.linspace(0, size - 1, 5)
    edge = [(x, y) for x in rim for y in rim if x in rim[[0, -1]] or y in rim[[0, -1]]]
    return portrait.head[::2], np.array(edge, dtype=np.float64)


def _move_controls(portrait: Portrait, variation: Variation, controls: Points) -> Points:
    """Move the control points (N, 2), canvas px, by shape and head pose."""
    points, shape = portrait.points, variation.shape
    eyes = points[473] - points[468]
    unit = float(np.hypot(*eyes))
    right = eyes / unit
    down = np.array([-right[1], right[0]])
    pivot = points[168]
    local = np.column_stack([(controls - pivot) @ right, (controls - pivot) @ down]) / unit
    row_of = {index: row for row, (index, _) in enumerate(_DEPTH)}

    def widen(indices: dict[int, float], amount: float) -> None:
        for index, share in indices.items():
            local[row_of[index], 0] += np.sign(local[row_of[index], 0]) * share * amount

    def lower(indices: dict[int, float], amount: float) -> None:
        for index, share in indices.items():
            local[row_of[index], 1] += share * amount

    widen(_JAW, shape.jaw_width)
    lower(_CHIN, shape.chin_drop)
    widen(dict.fromkeys(_EYES, 1.0), shape.eye_spacing)
    lower(dict.fromkeys(_BROWS, 1.0), -shape.brow_height)
    widen({129: 1.0, 358: 1.0, 98: 0.7, 327: 0.7}, shape.nose_width)
    lower({1: 1.0, 2: 1.0, 129: 0.8, 358: 0.8, 98: 0.9, 327: 0.9, 195: 0.3}, shape.nose_drop)
    widen({61: 1.0, 291: 1.0}, shape.mouth_width)
    lower({0: -1.0, 37: -1.0, 267: -1.0, 17: 1.0, 84: 1.0, 314: 1.0}, shape.lip_height)

    head = len(portrait.head[::2])
    turning = slice(0, len(_DEPTH) + head)
    depth = np.array([*(depth for _, depth in _DEPTH), *[_HEAD_DEPTH] * head]) - _AXIS_DEPTH
    x, y = local[turning, 0].copy(), local[turning, 1].copy()
    local[turning, 0] = x * np.cos(variation.yaw) + depth * np.sin(variation.yaw)
    cos, sin = np.cos(variation.pitch), np.sin(variation.pitch)
    local[turning, 1] = _AXIS_HEIGHT + (y - _AXIS_HEIGHT) * cos + depth * sin
    return np.asarray(pivot + unit * (local[:, :1] * right + local[:, 1:] * down))


def _canvas_to_image(variation: Variation, canvas_px: int, image_px: int) -> Points:
    """The similarity (2, 3) from canvas px to image px."""
    frame_px = canvas_px / (1 + 2 * MARGIN)
    zoom = variation.scale * image_px / frame_px
    cos, sin = zoom * np.cos(variation.roll), zoom * np.sin(variation.roll)
    rotation = np.array([[cos, -sin], [sin, cos]])
    centre = np.full(2, (canvas_px - 1) / 2)
    target = np.full(2, (image_px - 1) / 2) + image_px * np.array(variation.shift)
    return np.column_stack([rotation, target - rotation @ centre])


def _transform(points: Points, matrix: Points) -> Points:
    return np.asarray(points @ matrix[:, :2].T + matrix[:, 2])


def _invert(backward: Spline, forward: Spline, points: Points) -> Points:
    """Apply the inverse of `backward` to points (N, 2), by fixed-point iteration; `forward` is nearly the inverse."""
    out = forward(points)
    for _ in range(3):
        out = out + forward(points + (points - backward(out))) - forward(points)
    return out


def _change_tones(lab: FloatImage, parts: FloatImage, variation: Variation) -> FloatImage:
    """Change the tones of the parts (H, W, 3), skin, hair and clothes, of CIELAB (H, W, 3); return RGB 0-255."""
    light, a, b = (np.ascontiguousarray(lab[..., channel]) for channel in range(3))
    depth = np.log(np.maximum(light / 100, 1e-3))
    out = lab.copy()
    tones = (variation.skin, variation.hair, variation.clothes)
    for part, (tone, hue) in enumerate(zip(tones, (0.0, 0.0, variation.clothes_hue), strict=True)):
        cos, sin = tone.chroma * np.cos(hue), tone.chroma * np.sin(hue)
        weight = parts[..., part]
        out[..., 0] += weight * (100 * np.exp(tone.power * depth) - light)
        out[..., 1] += weight * (a * cos - b * sin + tone.a - a)
        out[..., 2] += weight * (a * sin + b * cos + tone.b - b)
    return np.asarray(np.clip(cv2.cvtColor(out, cv2.COLOR_LAB2RGB), 0, 1) * 255, np.float32)


def _light(points: Points, variation: Variation, image_px: int) -> FloatImage:
    """Light from one side on a head like an upright cylinder, as factors (image_px, image_px)."""
    centre = points[[234, 454, 10, 152]].mean(axis=0)
    half = 0.6 * face_width(points)
    y, x = np.mgrid[0:image_px, 0:image_px].astype(np.float32)
    along = np.tanh((x - centre[0]) / half) * np.cos(variation.light_angle)
    along = along + np.tanh((y - centre[1]) / (1.4 * half)) * np.sin(variation.light_angle)
    return np.asarray(variation.exposure * np.exp(variation.light_strength * along), np.float32)


def _photograph(picture: FloatImage, variation: Variation, rng: np.random.Generator) -> ByteImage:
    """Apply white balance, compressed highlights, blur of the lens and noise of the sensor to (H, W, 3)."""
    balanced = picture * np.array(variation.white_balance, np.float32)
    over = np.maximum(balanced - 215, 0)
    balanced = np.minimum(balanced, 215) + 40 * (1 - np.exp(-over / 40))
    if variation.blur:
        balanced = cv2.GaussianBlur(balanced, (0, 0), 0.2 + variation.blur * len(picture))
    grain = rng.standard_normal(balanced.shape[:2], np.float32)[..., None]
    return to_bytes(balanced + variation.noise * grain)
