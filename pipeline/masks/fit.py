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
_LOWER_LIP, _CHIN = 17, 152

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
    # There are no landmarks on the neck: level 5 is the jaw line, lower and narrower.
    drop, chin = 0.75 * (face[_CHIN] - face[_LOWER_LIP]), face[_CHIN]
    for across, index in zip(_JAW_ACROSS, _LEVELS[_JAW], strict=True):
        coordinates.append((across, float(_NECK)))
        pixels.append(chin + 0.85 * (face[index] - chin) + drop)
    return fit_spline(np.array(coordinates), np.array(pixels), smoothing=0.01)
