"""Where a mask is on a face: face coordinates from the landmarks, and random fits for each way of wearing a mask."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipeline.masks.records import Points, UnmaskedFace
from pipeline.masks.warp import Spline, fit_spline

FitKind = Literal["correct", "nose_out", "chin_out", "chin_only", "eyes_covered", "shifted"]

# Face coordinates are (across, level). Seven landmarks are on each level line, from ear to ear: level 0 runs along the
# brows, 1 over the bridge of the nose and the cheekbones, 2 over the tip of the nose, 3 between the lips, 4 along the
# jaw. Level 5 is on the neck.
_LEVELS = (
    (162, 53, 55, 8, 285, 283, 389),
    (227, 118, 100, 195, 329, 347, 447),
    (93, 50, 203, 1, 423, 280, 323),
    (58, 214, 61, 13, 291, 434, 288),
    (136, 149, 148, 152, 377, 378, 365),
)
_ACROSS = (-1.0, -0.67, -0.36, 0.0, 0.36, 0.67, 1.0)
_JAW_ACROSS = (-1.0, -0.6, -0.25, 0.0, 0.25, 0.6, 1.0)
_JAW, _NECK = 4, 5
_LOWER_LIP, _CHIN, _NOSE_TIP = 17, 152, 1
_MOUTH = 3  # level
_FORESHORTENED = 0.2  # the least distance of two columns of a sheet, as a share of the mean
_MOST_REACH = 0.3  # share of the face's width by which a sheet is pulled to the outline at most

SIDES = (234, 454)
"""Landmarks on the outline of the face in front of the ears: the person's right, the person's left."""


@dataclass(frozen=True)
class MaskFit:
    """The edges of a mask in face coordinates."""

    top: float  # level of the upper edge
    bottom: float  # level of the lower edge
    left: float
    right: float
    tilt: float  # levels by which the right end is lower
    arch: float  # levels by which the middle of the upper edge is higher


@dataclass(frozen=True)
class Placement:
    """The position of a mask in one picture."""

    face: Points  # (478, 2) landmarks, px; whole numbers are pixel centres
    face_map: Spline  # face coordinates -> px
    fit: MaskFit
    height: int  # of the picture, px
    width: int


def place_mask(face: UnmaskedFace, fit: MaskFit) -> Placement:
    """Place a mask on a face."""
    height, width = face.image.shape[:2]
    landmarks = face.landmarks.astype(np.float64) * (width, height) - 0.5
    return Placement(landmarks, _face_map(landmarks), fit, height, width)


def cut_placement(placement: Placement, left: int, top: int, right: int, bottom: int) -> Placement:
    """Return the placement in a part of the picture, px."""
    corner = np.array([left, top], np.float64)

    def face_map(points: Points) -> Points:
        return placement.face_map(points) - corner

    return Placement(placement.face - corner, face_map, placement.fit, bottom - top, right - left)


def unfolded(places: Points, placement: Placement) -> Points:
    """Return places (rows, columns, 2) of a sheet, px, that go on from the near side of the face to the far side.

    On a turned face the far side folds back behind the nose and the cheek, and a picture has no place for it. There
    the columns are moved up to the face's outline, close together.
    """
    face, columns = placement.face, places.shape[1]
    on_first_side = visible_shares(face)[0]
    near_first = on_first_side >= 0.5
    sheet = places if near_first else places[:, ::-1]
    ends = (sheet[:, -1] - sheet[:, 0]).mean(axis=0)
    direction = ends / max(float(np.hypot(*ends)), 1e-6)
    normal = np.array([-direction[1], direction[0]])
    if float(((sheet[-1] - sheet[0]) @ normal).mean()) < 0:  # of a mirrored face too, it leads down the sheet
        normal = -normal
    along, beside = sheet @ direction, sheet @ normal
    start, turned = along[:, :1], float(np.clip((abs(on_first_side - 0.5) - 0.12) / 0.12, 0, 1))
    step, moved = _FORESHORTENED * np.ptp(along, axis=1) / (columns - 1), along.copy()
    for column in range(1, columns):
        moved[:, column] = np.maximum(along[:, column], moved[:, column - 1] + step)
        folded = moved[:, column] > along[:, column] + 1e-6
        beside[folded, column] = beside[folded, column - 1]
    # A sheet that covers the far cheek reaches the outline of a turned face, as far as there is one at its height.
    far_end = placement.fit.right if near_first else -placement.fit.left
    pulled = turned * float(np.clip((far_end - 0.5) / 0.25, 0, 1))
    outline = _outline_reach(face @ direction, face @ normal, beside[:, -1])
    reach = along.max(axis=1)
    taut = _concave(beside[:, -1], np.maximum(reach, outline))
    reach = (reach + pulled * np.clip(taut - reach, 0, _MOST_REACH * face_width(face)))[:, None]
    shares = (moved - start) / np.maximum(moved[:, -1:] - start, 1e-6)
    moved = start + (shares + turned * (_smooth_rows(shares) - shares)) * (reach - start)
    beside = beside + turned * (_in_order(_smooth_rows(_smooth_rows(beside).T).T) - beside)
    out = moved[..., None] * direction + beside[..., None] * normal
    return np.asarray(out if near_first else out[:, ::-1])


def _concave(heights: Points, values: Points) -> Points:
    """Return the least concave function of the heights (N,) that is at least the values (N,): an edge without bites."""
    out = values.copy()
    for above in range(len(values)):
        for below in range(above + 2, len(values)):
            between = (heights[above + 1 : below] - heights[above]) / max(heights[below] - heights[above], 1e-6)
            line = values[above] + np.clip(between, 0, 1) * (values[below] - values[above])
            out[above + 1 : below] = np.maximum(out[above + 1 : below], line)
    return out


def _in_order(heights: Points) -> Points:
    """Return heights (rows, columns) of which each row is below the row before it by half of the mean step or more."""
    step = 0.5 * np.maximum(heights[-1] - heights[0], 0).mean() / (len(heights) - 1)
    out = heights.copy()
    for row in range(1, len(heights)):
        out[row] = np.maximum(out[row], out[row - 1] + step)
    return out


def _smooth_rows(values: Points) -> Points:
    """Return values (rows, columns) without the jumps of a row relative to its neighbours; lines of rows stay."""
    out = values.copy()
    for _ in range(4):
        out[1:-1] = 0.25 * out[:-2] + 0.5 * out[1:-1] + 0.25 * out[2:]
    return out


def visible_shares(face: Points) -> tuple[float, float]:
    """The shares of a face's width that are on each side of the tip of the nose, in the order of SIDES."""
    across = face[SIDES[1]] - face[SIDES[0]]
    first = float((face[_NOSE_TIP] - face[SIDES[0]]) @ across / max(float(across @ across), 1e-6))
    return first, 1 - first


def _outline_reach(along: Points, beside: Points, heights: Points) -> Points:
    """How far the landmarks' outline reaches at each height (N,), both in the coordinates along and beside (478,)."""
    window = 0.06 * float(np.ptp(beside))
    near = np.abs(beside[None] - heights[:, None]) < window
    return np.asarray(np.where(near, along[None], -np.inf).max(axis=1))


def mask_to_pixels(placement: Placement, across: Points, down: Points) -> Points:
    """Convert mask coordinates, -1 to 1 across and 0 to 1 down, each (N,), to px (N, 2)."""
    fit = placement.fit
    face_across = fit.left + (across + 1) / 2 * (fit.right - fit.left)
    level = fit.top + down * (fit.bottom - fit.top) + fit.tilt * across - fit.arch * (1 - down) * (1 - across**2)
    return placement.face_map(np.column_stack([face_across, level]))


def face_width(face: Points) -> float:
    """Return the distance between the sides of a face, in the unit of its landmarks (478, 2)."""
    return float(np.hypot(*(face[SIDES[1]] - face[SIDES[0]])))


def draw_fit(kind: FitKind, rng: np.random.Generator) -> MaskFit:
    """Draw a fit of one kind; the ranges of the kinds do not overlap."""

    def within(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    end, tilt = within(0.93, 1.0), within(-0.06, 0.06)
    match kind:
        case "correct":
            return MaskFit(within(0.80, 0.95), within(4.15, 4.40), -end, end, tilt, within(0.10, 0.22))
        case "nose_out":
            return MaskFit(within(2.42, 2.58), within(4.20, 4.45), -end, end, tilt, within(-0.05, 0.02))
        case "chin_out":
            return MaskFit(within(0.75, 0.95), within(3.28, 3.38), -end, end, tilt / 2, within(0.10, 0.22))
        case "chin_only":
            return MaskFit(within(3.38, 3.50), within(4.85, 5.10), -end, end, tilt, within(-0.05, 0.0))
        case "eyes_covered":
            return MaskFit(within(-0.45, -0.1), within(2.6, 3.5), -end, end, 2 * tilt, within(0.0, 0.2))
        case "shifted":
            edge, side = within(-0.08, 0.15), rng.choice([-1, 1])
            ends = sorted((side * edge, side * within(1.35, 1.55)))
            return MaskFit(within(0.8, 1.1), within(4.0, 4.4), ends[0], ends[1], within(-0.5, 0.5), within(0.0, 0.15))


def draw_any_fit(rng: np.random.Generator) -> MaskFit:
    """Draw a fit of any kind and of everything between the kinds; about a third are nearly correct."""

    def within(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    kind = rng.random()
    tilt, arch = within(-0.12, 0.12), within(-0.1, 0.3)
    left, right = -within(0.72, 1.12), within(0.72, 1.12)
    if kind < 0.36:  # nearly correct
        return MaskFit(within(0.55, 1.45), within(4.0, 4.75), left, right, tilt, arch)
    if kind < 0.52:  # below part or all of the nose
        return MaskFit(within(1.4, 2.9), within(3.9, 4.8), left, right, tilt, within(-0.2, 0.15))
    if kind < 0.70:  # above part or all of the chin
        return MaskFit(within(0.5, 1.6), within(2.9, 4.15), left, right, tilt, arch)
    if kind < 0.80:  # on the chin
        return MaskFit(within(2.8, 4.2), within(4.2, 5.6), left, right, tilt, within(-0.2, 0.1))
    if kind < 0.89:  # over the eyes
        return MaskFit(within(-0.9, 0.6), within(2.0, 4.6), left, right, 2 * tilt, within(-0.1, 0.3))
    side, edge = rng.choice([-1, 1]), within(-0.6, 0.55)  # shifted to one side, or hanging from one ear
    ends = sorted((side * edge, side * (edge + within(0.9, 2.0))))
    return MaskFit(within(0.3, 2.6), within(3.2, 4.8), ends[0], ends[1], within(-0.9, 0.9), within(-0.1, 0.2))


def _face_map(face: Points) -> Spline:
    """Return the map from face coordinates (N, 2) to px, for landmarks (478, 2) in px."""
    coordinates, pixels = [], []
    for level, indices in enumerate(_LEVELS):
        for across, index in zip(_JAW_ACROSS if level == _JAW else _ACROSS, indices, strict=True):
            coordinates.append((across, float(level)))
            pixels.append(face[index])
    _bridge_mouth(face, pixels)
    # There are no landmarks on the neck: level 5 is the jaw line, lower and narrower.
    drop, chin = 0.75 * (face[_CHIN] - face[_LOWER_LIP]), face[_CHIN]
    for across, index in zip(_JAW_ACROSS, _LEVELS[_JAW], strict=True):
        coordinates.append((across, float(_NECK)))
        pixels.append(chin + 0.85 * (face[index] - chin) + drop)
    return fit_spline(np.array(coordinates), np.array(pixels), smoothing=0.01)


def _bridge_mouth(face: Points, pixels: list[Points]) -> None:
    """Move the lips' points in place: a sheet goes straight from nose to chin."""
    across = (face[SIDES[1]] - face[SIDES[0]]) / face_width(face)
    turned = float((face[_NOSE_TIP] - (face[SIDES[0]] + face[SIDES[1]]) / 2) @ across / face_width(face))
    amount, columns = float(np.clip((abs(turned) - 0.08) / 0.12, 0, 1)), len(_ACROSS)
    for column in range(2, columns - 2):
        above, lips, below = (pixels[level * columns + column] for level in (_MOUTH - 1, _MOUTH, _MOUTH + 1))
        behind = float(((above + below) / 2 - lips) @ across) * np.sign(turned)
        pixels[_MOUTH * columns + column] = lips + amount * max(0.0, behind) * np.sign(turned) * across
