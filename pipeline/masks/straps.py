"""The straps of a mask: ear loops and head bands."""

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.faces.regions import FACE_OVAL
from pipeline.masks.fit import SIDES, Placement, face_width, mask_to_pixels, visible_shares
from pipeline.masks.records import FloatImage, MaskDesign, Points

_BITS = 4  # fractional bits of OpenCV's coordinates
_LOOP_OPACITY = 0.92
_LOOP_WIDTH, _BAND_WIDTH = 0.012, 0.018  # shares of the face's width
_DRAWN_PX = 8  # at least: a strap is drawn so thick and then reduced, so that its width is exact to a few per cent
_EARS = ((127, 93, 132), (356, 323, 361))  # landmarks along the outline in front of each ear, in the order of SIDES


def draw_straps(design: MaskDesign, placement: Placement) -> FloatImage:
    """Return the alpha of the straps, (H, W) 0-1. They end where they go behind an ear or the head."""
    match design.straps:
        case "loops":
            return _LOOP_OPACITY * _drawn(_ear_loops(placement, design.drawing[..., 3]), _LOOP_WIDTH, placement)
        case "bands":
            return _drawn(_head_bands(placement), _BAND_WIDTH, placement)
        case "none":
            return np.zeros((placement.height, placement.width), np.float32)


def _facing(face: Points) -> tuple[float, float]:
    """How far each side of a face is turned to the camera, in the order of SIDES: 1 from the front, 0 for a profile."""
    first, second = (float(np.clip((share - 0.16) / 0.24, 0, 1)) for share in visible_shares(face))
    return first, second


def _ear_loops(placement: Placement, alpha: FloatImage) -> list[Points]:
    """Elastic bands from the corners of the mask to where they go behind the ears: curves (N, 2), px."""
    face, unit = placement.face, face_width(placement.face)
    curves = []
    sides = zip((-1, 1), SIDES, SIDES[::-1], _EARS, _facing(face), strict=True)
    for side, ear, other_ear, along_ear, turned in sides:
        if turned < 0.25:  # hidden by the face
            continue
        outward = face[ear] - face[other_ear]
        corners = mask_to_pixels(placement, *_corners(alpha, side))
        above, below, lowest = face[list(along_ear)]
        ends = np.array([above, 0.6 * below + 0.4 * lowest]) + np.outer((0.055, 0.05), turned * outward)
        for corner, end, sag in zip(corners, ends, (-0.012, 0.03), strict=True):
            along = np.linspace(0, 1, 24)[:, None]
            curve = corner + (end - corner) * along
            curve[:, 1:] += 4 * along * (1 - along) * sag * unit
            curves.append(curve)
    return curves


def _corners(alpha: FloatImage, side: int) -> tuple[Points, Points]:
    """Where loops are sewn on one side, -1 or 1, of a drawing with an alpha (h, w): across (2,), down (2,)."""
    height, width = alpha.shape
    columns = np.flatnonzero((alpha > 0.5).sum(axis=0) > 0.12 * height)
    if not columns.size:
        return np.full(2, side * 0.965), np.array([0.06, 0.94])
    inward = round(0.015 * width)
    column = columns[0] + inward if side < 0 else columns[-1] - inward
    rows = np.flatnonzero(alpha[:, column] > 0.5)
    down = np.array([rows[0] + 0.04 * height, rows[-1] - 0.04 * height]) / (height - 1)
    return np.full(2, 2 * column / (width - 1) - 1), down


def _head_bands(placement: Placement) -> list[Points]:
    """Two straight bands on each side, from the mask to behind the head: lines (2, 2), px."""
    face, unit = placement.face, face_width(placement.face)
    lines = []
    for side, ear, other_ear in zip((-1.0, 1.0), SIDES, SIDES[::-1], strict=True):
        starts = mask_to_pixels(placement, np.full(2, side * 0.9), np.array([0.35, 0.75]))
        ends = face[ear] + 0.12 * (face[ear] - face[other_ear]) + np.array([(0.0, -0.35), (0.0, 0.3)]) * unit
        lines += [np.array([start, end]) for start, end in zip(starts, ends, strict=True)]
    return lines


def _drawn(curves: list[Points], width: float, placement: Placement) -> FloatImage:
    """Draw curves of a width, a share of the face's, and hide what is beyond the head: alpha (H, W)."""
    thickness = width * face_width(placement.face)
    zoom = max(1, int(np.ceil(_DRAWN_PX / thickness)))
    out = np.zeros((placement.height, placement.width), np.float32)
    for curve in curves:
        low = np.floor(curve.min(axis=0) - thickness - 1).astype(int).clip(0)
        high = np.ceil(curve.max(axis=0) + thickness + 2).astype(int).clip(0, (placement.width, placement.height))
        if (high <= low).any():
            continue
        size = high - low
        canvas = np.zeros((size[1] * zoom, size[0] * zoom), np.uint8)
        ticks = np.rint(((curve - low + 0.5) * zoom - 0.5) * (1 << _BITS)).astype(np.int32)
        cv2.polylines(canvas, [ticks], False, 255, max(1, round(thickness * zoom)), cv2.LINE_AA, _BITS)
        reduced = cv2.resize(canvas, tuple(size.tolist()), interpolation=cv2.INTER_AREA)
        part = out[low[1] : high[1], low[0] : high[0]]
        np.maximum(part, reduced.astype(np.float32) / 255, out=part)
    return out * _head(placement)


def _head(placement: Placement) -> FloatImage:
    """Where straps are seen, (H, W) 0-1: on the face, and as far as the ear on a side that is turned to the camera."""
    face, unit = placement.face, face_width(placement.face)
    across = (face[SIDES[1]] - face[SIDES[0]]) / unit
    oval = face[list(FACE_OVAL)]
    position = (oval - oval.mean(axis=0)) @ across / (0.5 * unit)  # -1 to 1
    reach = np.where(position < 0, -0.055 * _facing(face)[0], 0.055 * _facing(face)[1]) * np.clip(
        np.abs(position), 0, 1
    )
    outline = oval + np.outer(reach * unit, across)
    alpha = np.zeros((placement.height, placement.width), np.uint8)
    cv2.fillPoly(alpha, [np.rint(outline * (1 << _BITS)).astype(np.int32)], 255, cv2.LINE_AA, _BITS)
    soft: NDArray[np.uint8] = np.asarray(cv2.blur(alpha, (2 * max(1, round(0.008 * unit)) + 1,) * 2), np.uint8)
    return np.asarray(soft / 255.0, np.float32)
