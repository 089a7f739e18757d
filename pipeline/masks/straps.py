"""The straps of a mask: ear loops and head bands."""

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.masks.fit import SIDES, Placement, face_width, mask_to_pixels
from pipeline.masks.records import FloatImage, Points, Straps

_BITS = 4  # fractional bits of OpenCV's line coordinates
_LOOP_OPACITY = 0.9
_EARS = ((127, 132), (356, 361))  # landmarks above and below each ear, in the order of SIDES


def draw_straps(straps: Straps, placement: Placement) -> FloatImage:
    """Return the alpha of the straps, (H, W) 0-1."""
    match straps:
        case "loops":
            return _LOOP_OPACITY * _ear_loops(placement)
        case "bands":
            return _head_bands(placement)
        case "none":
            return np.zeros((placement.height, placement.width), np.float32)


def _ear_loops(placement: Placement) -> FloatImage:
    """Elastic bands from the corners of the mask to behind the ears."""
    face, unit = placement.face, face_width(placement.face)
    zoom = 2  # drawn at twice the size, then reduced
    canvas = np.zeros((placement.height * zoom, placement.width * zoom), np.uint8)
    thickness = max(1, round(0.012 * unit * zoom))
    for side, (ear, other_ear), above_and_below in zip((-1.0, 1.0), (SIDES, SIDES[::-1]), _EARS, strict=True):
        outward = face[ear] - face[other_ear]
        corners = mask_to_pixels(placement, np.full(2, side * 0.96), np.array([0.05, 0.95]))
        ends = face[list(above_and_below)] + np.outer((0.10, 0.07), outward)
        for corner, end, sag in zip(corners, ends, (-0.025, 0.04), strict=True):
            along = np.linspace(0, 1, 24)[:, None]
            curve = corner + (end - corner) * along
            curve[:, 1:] += 4 * along * (1 - along) * sag * unit
            _draw_line(canvas, (curve + 0.5) * zoom - 0.5, thickness)
    reduced = cv2.resize(canvas, (placement.width, placement.height), interpolation=cv2.INTER_AREA)
    return np.asarray(reduced / 255.0, np.float32)


def _head_bands(placement: Placement) -> FloatImage:
    """Two straight bands on each side, from the mask to behind the head."""
    face, unit = placement.face, face_width(placement.face)
    canvas = np.zeros((placement.height, placement.width), np.uint8)
    for side, (ear, other_ear) in zip((-1.0, 1.0), (SIDES, SIDES[::-1]), strict=True):
        starts = mask_to_pixels(placement, np.full(2, side * 0.9), np.array([0.35, 0.75]))
        outward = face[ear] - face[other_ear]
        ends = face[ear] + 0.12 * outward + np.array([(0.0, -0.35), (0.0, 0.3)]) * unit
        for start, end in zip(starts, ends, strict=True):
            _draw_line(canvas, np.array([start, end]), max(1, round(0.018 * unit)))
    return np.asarray(canvas / 255.0, np.float32)


def _draw_line(canvas: NDArray[np.uint8], points: Points, thickness: int) -> None:
    """Draw a line through points (N, 2), px, in place."""
    ticks = np.rint(points * (1 << _BITS)).astype(np.int32)
    cv2.polylines(canvas, [ticks], False, 255, thickness, cv2.LINE_AA, _BITS)
