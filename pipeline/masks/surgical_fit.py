"""A mask put on a face by its landmarks: well, or wrongly as people do."""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.masks import surgical as mask
from pipeline.masks import warp
from pipeline.synthetic.portraits import OVAL, Picture, Points

Worn = Literal["correct", "nose_out", "chin_out", "chin_only", "eyes_covered", "shifted"]

# The face as a map: seven landmarks on each level line, from ear to ear. Level 0 runs along the brows, 1 over the
# bridge of the nose and the cheekbones, 2 over its tip, 3 between the lips, 4 along the jaw.
_LEVELS = (
    (162, 53, 55, 8, 285, 283, 389),
    (227, 118, 100, 195, 329, 347, 447),
    (93, 50, 203, 1, 423, 280, 323),
    (58, 214, 61, 13, 291, 434, 288),
    (136, 149, 148, 152, 377, 378, 365),
)
_ACROSS = (-1.0, -0.67, -0.36, 0.0, 0.36, 0.67, 1.0)
_JAW_ACROSS = (-1.0, -0.6, -0.25, 0.0, 0.25, 0.6, 1.0)

_BAND = np.array([222, 227, 230], np.float32)  # the elastic's colour, RGB


@dataclass(frozen=True)
class MaskFit:
    """Where a mask sits, in the face's map: level of its edges, and how far it reaches to each side."""

    top: float
    bottom: float
    left: float
    right: float
    tilt: float  # levels by which the right end hangs lower
    arch: float  # levels by which the upper edge rises in the middle


def draw_fit(kind: Worn, rng: np.random.Generator) -> MaskFit:
    """Draw how it is worn; each range keeps to what its kind says."""

    def within(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    wide, tilt = within(0.93, 1.0), within(-0.06, 0.06)
    match kind:
        case "correct":
            return MaskFit(within(0.80, 0.95), within(4.15, 4.40), -wide, wide, tilt, within(0.10, 0.22))
        case "nose_out":
            return MaskFit(within(2.42, 2.58), within(4.20, 4.45), -wide, wide, tilt, within(-0.05, 0.02))
        case "chin_out":
            return MaskFit(within(0.75, 0.95), within(3.28, 3.38), -wide, wide, tilt / 2, within(0.10, 0.22))
        case "chin_only":
            return MaskFit(within(3.38, 3.50), within(4.85, 5.10), -wide, wide, tilt, within(-0.05, 0.0))
        case "eyes_covered":
            return MaskFit(within(-0.45, -0.1), within(2.6, 3.5), -wide, wide, 2 * tilt, within(0.0, 0.2))
        case "shifted":
            edge, side = within(-0.08, 0.15), rng.choice([-1, 1])
            ends = sorted((side * edge, side * within(1.35, 1.55)))
            return MaskFit(within(0.8, 1.1), within(4.0, 4.4), ends[0], ends[1], within(-0.5, 0.5), within(0.0, 0.15))


def put_on(image: NDArray[np.uint8], points: NDArray[np.float32], cloth: mask.Cloth, fit: MaskFit) -> NDArray[np.uint8]:
    """Wear the mask: image (H, W, 3) uint8 RGB, points (478, 2) as shares -> the same with it on."""
    height, width = image.shape[:2]
    face = points.astype(np.float64) * (width, height) - 0.5
    place = face_map(face)
    layer, alpha = warped(mask.draw_mask(cloth), place, fit, height, width)
    light = face_light(image, face)[..., None]
    loops = 0.9 * ear_loops(face, place, fit, height, width)

    unit = float(np.hypot(*(face[454] - face[234])))
    shadow = np.maximum(alpha, 0.8 * loops)
    shadow = cv2.warpAffine(shadow, np.array([[1, 0, 0], [0, 1, 0.018 * unit]]), (width, height))
    shadow = 0.42 * cv2.GaussianBlur(shadow, (0, 0), 0.02 * unit)
    out = image.astype(np.float32) * (1 - shadow * (1 - alpha))[..., None]
    out += (_BAND * light - out) * loops[..., None]
    out += (layer * light - out) * alpha[..., None]
    return np.asarray(np.clip(np.rint(out), 0, 255), np.uint8)


def face_map(face: Points) -> warp.Spline:
    """From (across, level) to pixels."""
    at, pixels = [], []
    for level, indices in enumerate(_LEVELS):
        for across, index in zip(_JAW_ACROSS if level == 4 else _ACROSS, indices, strict=True):
            at.append((across, float(level)))
            pixels.append(face[index])
    # One more line, on the neck: the jaw's, lowered and drawn in.
    fall, middle = 0.75 * (face[152] - face[17]), face[152]
    for across, index in zip(_JAW_ACROSS, _LEVELS[4], strict=True):
        at.append((across, 5.0))
        pixels.append(middle + 0.85 * (face[index] - middle) + fall)
    return warp.fit(np.array(at), np.array(pixels), smoothing=0.01)


def on_face(place: warp.Spline, fit: MaskFit, a: Points, b: Points) -> Points:
    """Mask coordinates, a from -1 to 1 across and b from 0 to 1 down, each (N,) -> pixels (N, 2)."""
    across = fit.left + (a + 1) / 2 * (fit.right - fit.left)
    level = fit.top + b * (fit.bottom - fit.top) + fit.tilt * a - fit.arch * (1 - b) * (1 - a**2)
    return place(np.column_stack([across, level]))


def warped(drawing: Picture, place: warp.Spline, fit: MaskFit, height: int, width: int) -> tuple[Picture, Picture]:
    """The drawing on the picture: colours (H, W, 3), alpha (H, W)."""
    a, b = (axis.ravel() for axis in np.meshgrid(np.linspace(-1, 1, 9), np.linspace(0, 1, 7)))
    at = on_face(place, fit, a, b)
    drawn = np.column_stack([(a + 1) / 2 * (mask.WIDTH - 1), b * (mask.HEIGHT - 1)])
    # Filter to the size it will have: the drawing is larger than most masks in a picture.
    shrink = mask.WIDTH / max(1.0, float(np.ptp(at[:, 0])))
    if shrink > 1.3:
        drawing = np.asarray(cv2.GaussianBlur(drawing, (0, 0), 0.35 * shrink), np.float32)
    grid, shape = warp.pixel_grid(height, width)
    field = warp.dense_map(warp.fit(at, drawn)(grid), shape, height, width)
    # Only near the mask: far off, a spline may fold back onto it.
    hull = cv2.convexHull(np.rint(at).astype(np.int32))
    near = np.zeros((height, width), np.uint8)
    cv2.fillConvexPoly(near, hull, 1)
    near = np.asarray(cv2.dilate(near, np.ones((9, 9), np.uint8)), np.uint8)
    layer = warp.pull(drawing, field, cv2.BORDER_CONSTANT)
    return layer[..., :3], np.clip(layer[..., 3], 0, 1) * near


def face_light(image: NDArray[np.uint8], face: Points) -> Picture:
    """The light on the mask: the face's own luminance, coarse, about 1; (H, W)."""
    height, width = image.shape[:2]
    grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.float32)
    inside = np.zeros((height, width), np.uint8)
    middle = face[list(OVAL)].mean(axis=0)
    cv2.fillPoly(inside, [np.rint(middle + 0.85 * (face[list(OVAL)] - middle)).astype(np.int32)], 1)
    weight = inside.astype(np.float32) + 1e-4
    sigma = 0.16 * float(np.hypot(*(face[454] - face[234])))
    pair = np.dstack([grey * weight, weight]).astype(np.float32)
    small = cv2.resize(pair, (width // 4, height // 4), interpolation=cv2.INTER_AREA)  # such a blur needs no more
    blurred = np.asarray(cv2.GaussianBlur(small, (0, 0), sigma / 4), np.float32)
    coarse = cv2.resize(blurred[..., 0] / blurred[..., 1], (width, height), interpolation=cv2.INTER_LINEAR)
    mean = float((grey * weight).sum() / weight.sum())
    overall = np.clip((mean / 150) ** 0.45, 0.62, 1.12)  # a dark skin is not a dark room: only part of it
    return np.asarray(overall * np.clip(coarse / mean, 0.5, 1.5) ** 0.8, np.float32)


def ear_loops(face: Points, place: warp.Spline, fit: MaskFit, height: int, width: int) -> Picture:
    """The elastic bands from the mask's corners to behind the ears: alpha (H, W)."""
    unit = float(np.hypot(*(face[454] - face[234])))
    zoom, bits = 2, 4  # drawn at twice the size, in sixteenths of a pixel
    canvas = np.zeros((height * zoom, width * zoom), np.uint8)
    thick = max(1, round(0.012 * unit * zoom))
    for side, ear, far_ear, top_ear, low_ear in ((-1.0, 234, 454, 127, 132), (1.0, 454, 234, 356, 361)):
        outward = face[ear] - face[far_ear]
        corners = on_face(place, fit, np.full(2, side * 0.96), np.array([0.05, 0.95]))
        ears = face[[top_ear, low_ear]] + np.outer((0.10, 0.07), outward)
        for corner, end, sag in zip(corners, ears, (-0.025, 0.04), strict=True):
            along = np.linspace(0, 1, 24)[:, None]
            curve = corner + (end - corner) * along
            curve[:, 1:] += 4 * along * (1 - along) * sag * unit
            ticks = np.rint((curve + 0.5) * zoom * (1 << bits) - (1 << bits) / 2).astype(np.int32)
            cv2.polylines(canvas, [ticks], False, 255, thick, cv2.LINE_AA, bits)
    small = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(small / 255.0, np.float32)
