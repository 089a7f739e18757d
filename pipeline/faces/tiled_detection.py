"""All faces of a photo of any size: sought in the whole of it, and where these are small, in ever smaller parts.

The landmarker looks at its picture at 128 px (BlazeFace, Bazarevsky et al. 2019), so that of a group it misses all that
take less than an eighth of the width.
"""

from collections.abc import Callable, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.faces.landmarker import Detect, Face

MAX_FACES = 32  # in one part
_PORTRAIT = 1 / 3  # a face of this share of the photo's shorter side, in height: nobody smaller is meant
_PARTS = (2, 4)  # the parts' sides are these shares of the photo's shorter side, and each lies half over the next
_MIN_PART_PX = 128
_MIN_FACE_PX = 24  # height: in a smaller face a mask is a smear
_SMALL = 1 / 3  # of a face's height: next to it no other face is as small
_LOOKED_AT_PX = 1024  # shorter side: a larger photo is looked at as a whole at this size, for it takes as long to scale


def find_all_faces(
    pixels: NDArray[np.uint8], detect: Detect, second_try: Callable[[NDArray[np.uint8]], list[Face]]
) -> list[NDArray[np.float32]]:
    """(H, W, 3) RGB -> the landmarks (478, 2) of each face, in the photo's px, the largest first.

    `second_try` is asked of the whole photo where nothing is found in it: for a face that its mask hides.
    """
    height, width = pixels.shape[:2]
    whole = _scaled(pixels)
    size = np.array([width, height], np.float32)
    found = [face.points * size for face in detect(whole)]
    shorter = min(height, width)
    if max((_height(points) for points in found), default=0.0) < _PORTRAIT * shorter:
        for left, top, side in _parts(width, height):
            part = pixels[top : top + side, left : left + side]
            for face in detect(_scaled(part)):
                if _is_whole(face.points, left, top, side, width, height):
                    found.append(face.points * np.float32(side) + np.array([left, top], np.float32))
    found = found or [face.points * size for face in second_try(whole)]
    return _distinct([points for points in found if _height(points) >= _MIN_FACE_PX])


def _parts(width: int, height: int) -> Iterator[tuple[int, int, int]]:
    """Squares that cover the photo, as left, top, side."""
    for share in _PARTS:
        side = min(width, height) // share
        if side < _MIN_PART_PX:
            return
        for top in _starts(height, side):
            for left in _starts(width, side):
                yield left, top, side


def _starts(length: int, side: int) -> list[int]:
    """Where parts begin along a side, evenly, half of each over the next."""
    count = max(2, int(np.ceil((length - side) / (side / 2))) + 1)
    return [round(start) for start in np.linspace(0, length - side, count)]


def _is_whole(points: NDArray[np.float32], left: int, top: int, side: int, width: int, height: int) -> bool:
    """Whether a part does not cut its face: at the photo's own edge it may end."""
    low, high = points.min(axis=0), points.max(axis=0)
    inside = low[0] > 0 or left == 0, low[1] > 0 or top == 0
    return all(inside) and (high[0] < 1 or left + side == width) and (high[1] < 1 or top + side == height)


def _distinct(faces: list[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    """Largest first, without those that belong to a larger one."""
    kept: list[NDArray[np.float32]] = []
    for points in sorted(faces, key=_height, reverse=True):
        if not any(_is_of(points, larger) for larger in kept):
            kept.append(points)
    return kept


def _is_of(points: NDArray[np.float32], larger: NDArray[np.float32]) -> bool:
    """Whether it is the same face again, or something small about it: a badge on its cap, an eye behind glass."""
    low, high, middle = larger.min(axis=0), larger.max(axis=0), points.mean(axis=0)
    about = (high - low) / 2 if _height(points) < _SMALL * _height(larger) else 0
    return bool(((low - about < middle) & (middle < high + about)).all())


def _height(points: NDArray[np.float32]) -> float:
    return float(np.ptp(points[:, 1]))


def _scaled(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    scale = _LOOKED_AT_PX / min(pixels.shape[:2])
    if scale >= 1:
        return pixels
    size = (round(pixels.shape[1] * scale), round(pixels.shape[0] * scale))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
