"""A plausible other photo of a portrait's person: other pose, proportions, tones, light and background."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.masks import warp
from pipeline.synthetic.backgrounds import draw_backdrop
from pipeline.synthetic.portraits import MARGIN, Picture, Points, Portrait


@dataclass(frozen=True)
class Shape:
    """Symmetric changes of proportion, each a share of the eyes' distance."""

    jaw_wide: float
    chin_low: float
    eyes_apart: float
    brows_high: float
    nose_wide: float
    nose_low: float
    mouth_wide: float
    mouth_full: float


@dataclass(frozen=True)
class Tones:
    """CIELAB: lightness by a power (1 leaves it), a and b by a factor and an offset."""

    power: float
    chroma: float
    a: float
    b: float


@dataclass(frozen=True)
class Variation:
    """All that makes one face from a portrait."""

    portrait: int  # which of the portraits
    mirror: bool
    yaw: float  # radians, positive turns the face to the picture's right
    pitch: float  # radians, positive looks down
    roll: float  # radians, clockwise
    scale: float  # 1 is FFHQ's frame
    shift: tuple[float, float]  # share of the picture, right and down
    shape: Shape
    skin: Tones
    hair: Tones
    clothes: Tones
    clothes_hue: float  # radians in the a-b plane
    light_from: float  # radians, 0 from the picture's right, clockwise
    light_strength: float  # natural logarithm of the light's change across the face's half
    exposure: float  # factor
    white: tuple[float, float, float]  # factor on R, G, B
    blur: float  # sigma, share of the picture
    noise: float  # standard deviation of 255


def draw_variation(rng: np.random.Generator, portraits: int) -> Variation:
    """Draw everything but the background; the bounds are what still looked like a person."""

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
            jaw_wide=near(0, 0.10),
            chin_low=near(0, 0.11),
            eyes_apart=near(0, 0.035),
            brows_high=near(0, 0.04),
            nose_wide=near(0, 0.05),
            nose_low=near(0, 0.05),
            mouth_wide=near(0, 0.06),
            mouth_full=near(0, 0.025),
        ),
        skin=Tones(1 + 0.9 * dark, near(0.95 - 0.2 * dark, 0.12), near(-0.5, 2.5), near(1.0, 3.0)),
        hair=Tones(near(1.15, 0.5), near(0.9, 0.6), near(1, 6.0), near(1, 6.0)),
        clothes=Tones(near(1.0, 0.35), near(0.85, 0.5), near(0, 7.0), near(0, 7.0)),
        clothes_hue=float(rng.uniform(0, 2 * np.pi)),
        light_from=float(rng.uniform(0, 2 * np.pi)),
        light_strength=abs(near(0, 0.55)),
        exposure=near(1.0, 0.22),
        white=(near(1.0, 0.07), 1.0, near(1.0, 0.08)),
        blur=max(0.0, near(0.0, 0.0025)),
        noise=abs(near(0.0, 2.5)),
    )


def render(
    portraits: tuple[Portrait, ...], variation: Variation, rng: np.random.Generator, image_px: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The face (image_px, image_px, 3) uint8 RGB and its landmarks (478, 2) as shares.

    The background and the grain come from `rng`. In a mirrored face the landmarks stay the person's: the
    indices of its right side then lie on the picture's right.
    """
    portrait = portraits[variation.portrait]
    place = _placement(variation, len(portrait.person), image_px)
    controls = np.vstack([portrait.points[[index for index, _ in _DEPTH]], *_fixed_points(portrait)])
    moved = _moved(portrait, variation, controls)
    # The picture is pulled (from where does each pixel come?), so the spline runs backwards.
    backwards = warp.fit(_to_image(moved, place), controls)
    grid, shape = warp.pixel_grid(image_px, image_px)
    field = warp.dense_map(backwards(grid), shape, image_px, image_px)

    person = warp.pull(portrait.person, field, cv2.BORDER_REPLICATE)
    parts = warp.pull(portrait.parts, field, cv2.BORDER_REPLICATE)
    alpha = np.clip(person[..., 3:], 0, 1)
    picture = _toned(person[..., :3], parts, variation)
    points = _follow(backwards, warp.fit(controls, _to_image(moved, place)), portrait.points)
    if variation.mirror:
        points[:, 0] = image_px - 1 - points[:, 0]
        picture, alpha = picture[:, ::-1], alpha[:, ::-1]
    picture = picture * _light(points, variation, image_px)[..., None]
    backdrop = draw_backdrop(rng, image_px)
    image = _camera(picture * alpha + backdrop * (1 - alpha), variation, rng)
    return image, ((points + 0.5) / image_px).astype(np.float32)


# Depth of landmarks toward the viewer, in eyes' distances; read off MediaPipe's canonical face model and rounded.
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
_AXIS_DEPTH = -0.8  # of the neck, about which the head turns

_JAW = {132: 0.5, 361: 0.5, 172: 1.0, 397: 1.0, 150: 0.7, 379: 0.7, 148: 0.2, 377: 0.2}
_CHIN = {152: 1.0, 148: 0.9, 377: 0.9, 150: 0.6, 379: 0.6, 172: 0.2, 397: 0.2}
_EYES = (33, 263, 133, 362, 159, 386, 145, 374, 70, 300, 105, 334)
_BROWS = (70, 300, 105, 334, 107, 336)


def _fixed_points(portrait: Portrait) -> tuple[Points, Points]:
    """Points about the face: the head's outline, and the canvas's rim, which stays where it is."""
    size = len(portrait.person)
    rim = np.linspace(0, size - 1, 5)
    edge = [(x, y) for x in rim for y in rim if x in rim[[0, -1]] or y in rim[[0, -1]]]
    return portrait.head[::2], np.array(edge, dtype=np.float64)


def _moved(portrait: Portrait, variation: Variation, controls: Points) -> Points:
    """Where shape and head pose take the control points, canvas px."""
    points, shape = portrait.points, variation.shape
    eyes = points[473] - points[468]
    unit = float(np.hypot(*eyes))
    right = eyes / unit
    down = np.array([-right[1], right[0]])
    pivot = points[168]
    local = np.column_stack([(controls - pivot) @ right, (controls - pivot) @ down]) / unit
    where = {index: row for row, (index, _) in enumerate(_DEPTH)}

    def widen(indices: dict[int, float], amount: float) -> None:
        for index, share in indices.items():
            local[where[index], 0] += np.sign(local[where[index], 0]) * share * amount

    def lower(indices: dict[int, float], amount: float) -> None:
        for index, share in indices.items():
            local[where[index], 1] += share * amount

    widen(_JAW, shape.jaw_wide)
    lower(_CHIN, shape.chin_low)
    widen(dict.fromkeys(_EYES, 1.0), shape.eyes_apart)
    lower(dict.fromkeys(_BROWS, 1.0), -shape.brows_high)
    widen({129: 1.0, 358: 1.0, 98: 0.7, 327: 0.7}, shape.nose_wide)
    lower({1: 1.0, 2: 1.0, 129: 0.8, 358: 0.8, 98: 0.9, 327: 0.9, 195: 0.3}, shape.nose_low)
    widen({61: 1.0, 291: 1.0}, shape.mouth_wide)
    lower({0: -1.0, 37: -1.0, 267: -1.0, 17: 1.0, 84: 1.0, 314: 1.0}, shape.mouth_full)

    head = len(portrait.head[::2])
    turning = slice(0, len(_DEPTH) + head)
    depth = np.array([*(depth for _, depth in _DEPTH), *[_HEAD_DEPTH] * head]) - _AXIS_DEPTH
    x, y = local[turning, 0].copy(), local[turning, 1].copy()
    local[turning, 0] = x * np.cos(variation.yaw) + depth * np.sin(variation.yaw)
    level = 0.9  # the neck's height below the eyes, where nodding turns
    local[turning, 1] = level + (y - level) * np.cos(variation.pitch) + depth * np.sin(variation.pitch)
    return np.asarray(pivot + unit * (local[:, :1] * right + local[:, 1:] * down))


def _placement(variation: Variation, canvas_px: int, image_px: int) -> Points:
    """The similarity, (2, 3), that puts the canvas's FFHQ frame into the picture."""
    frame_px = canvas_px / (1 + 2 * MARGIN)
    zoom = variation.scale * image_px / frame_px
    cos, sin = zoom * np.cos(variation.roll), zoom * np.sin(variation.roll)
    turn = np.array([[cos, -sin], [sin, cos]])
    middle = np.full(2, (canvas_px - 1) / 2)
    target = np.full(2, (image_px - 1) / 2) + image_px * np.array(variation.shift)
    return np.column_stack([turn, target - turn @ middle])


def _to_image(points: Points, place: Points) -> Points:
    return np.asarray(points @ place[:, :2].T + place[:, 2])


def _follow(backwards: warp.Spline, forwards: warp.Spline, points: Points) -> Points:
    """Where the pulled picture shows `points`: the inverse of `backwards`, found from a near guess."""
    found = forwards(points)
    for _ in range(3):
        found = found + forwards(points + (points - backwards(found))) - forwards(points)
    return found


def _toned(lab: Picture, parts: Picture, variation: Variation) -> Picture:
    """(H, W, 3) CIELAB -> RGB 0-255, with other tones of skin, hair and clothes (H, W, 3)."""
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


def _light(points: Points, variation: Variation, image_px: int) -> Picture:
    """Light from one side, bent round the head as on an upright cylinder: factors (image_px, image_px)."""
    centre = points[[234, 454, 10, 152]].mean(axis=0)
    half = 0.6 * float(np.hypot(*(points[454] - points[234])))
    y, x = np.mgrid[0:image_px, 0:image_px].astype(np.float32)
    along = np.tanh((x - centre[0]) / half) * np.cos(variation.light_from)
    along = along + np.tanh((y - centre[1]) / (1.4 * half)) * np.sin(variation.light_from)
    return np.asarray(variation.exposure * np.exp(variation.light_strength * along), np.float32)


def _camera(picture: Picture, variation: Variation, rng: np.random.Generator) -> NDArray[np.uint8]:
    """White balance, a soft shoulder instead of clipped highlights, the lens's blur, the sensor's noise."""
    balanced = picture * np.array(variation.white, np.float32)
    over = np.maximum(balanced - 215, 0)
    balanced = np.minimum(balanced, 215) + 40 * (1 - np.exp(-over / 40))
    if variation.blur:
        balanced = cv2.GaussianBlur(balanced, (0, 0), 0.2 + variation.blur * len(picture))
    grain = rng.standard_normal(balanced.shape[:2], np.float32)[..., None]
    return np.asarray(np.clip(np.rint(balanced + variation.noise * grain), 0, 255), np.uint8)
