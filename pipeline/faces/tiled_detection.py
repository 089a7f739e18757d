"""Finds all faces of a photo of any size: in the whole photo and, where its faces are small, in tiles of it.

The landmarker scales its input to 128 px (BlazeFace, Bazarevsky et al. 2019), so that it misses the faces of a group
that take less than an eighth of the width.
"""

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.faces import centerface
from pipeline.faces.detection import find_hidden_faces
from pipeline.faces.landmarker import get_landmarker

_MAX_FACES = 32  # in one tile
_PORTRAIT = 1 / 3  # height of a face, as a share of the photo's shorter side: beside it, smaller ones are seldom
_SIGHT_SCORE = 0.2  # of the second detector: a false sight costs the search of the tiles and nothing else
_TILE_DIVISORS = (2, 4)  # of the photo's shorter side; each tile overlaps the next by a half
_MIN_TILE_PX = 128
_MIN_FACE_PX = 24  # height: of a smaller face nothing but a blur could be painted
_SMALL = 1 / 3  # of a face's height: a detection this much smaller, next to it, is no other face
_DETECTION_PX = 1024  # shorter side at which a larger photo is searched: detection itself works on 128 px


def find_all_faces(pixels: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    """(H, W, 3) RGB -> the landmarks (478, 2) of each face, in px of the photo, the largest face first."""
    detect = get_landmarker(_MAX_FACES)
    height, width = pixels.shape[:2]
    size = np.array([width, height], np.float32)
    photo = _reduced(pixels)
    faces = [face.points * size for face in detect(photo)]
    near = max((_height(points) for points in faces), default=0.0) >= _PORTRAIT * min(height, width)
    if not near or _is_another_in_sight(photo, [points / size for points in faces]):
        for left, top, side in _tiles(width, height):
            for face in detect(_reduced(pixels[top : top + side, left : left + side])):
                if _is_whole(face.points, left == 0, top == 0, left + side == width, top + side == height):
                    faces.append(face.points * np.float32(side) + np.array([left, top], np.float32))
    faces = faces or [face.points * size for face in find_hidden_faces(photo, _MAX_FACES)]
    return _distinct([points for points in faces if _height(points) >= _MIN_FACE_PX])


def _is_another_in_sight(photo: NDArray[np.uint8], faces: list[NDArray[np.float32]]) -> bool:
    """Whether the second detector sees a face in a photo (H, W, 3) beside those with landmarks (478, 2), as shares.

    One pass of it takes a sixth of the time of all tiles, and most portraits have no second face.
    """
    size = np.array(photo.shape[1::-1], np.float32)
    found = centerface.detect(photo, _SIGHT_SCORE, with_mirror=False)
    sights = [detection.points.astype(np.float32) / size for detection in found]
    return not all(any(_belongs_to(points, face) for face in faces) for points in sights)


def _tiles(width: int, height: int) -> Iterator[tuple[int, int, int]]:
    """Squares that cover the photo, as left, top, side."""
    for divisor in _TILE_DIVISORS:
        side = min(width, height) // divisor
        if side < _MIN_TILE_PX:
            return
        for top in _starts(height, side):
            for left in _starts(width, side):
                yield left, top, side


def _starts(length: int, side: int) -> list[int]:
    """Where the tiles along a side begin: evenly spaced, each overlapping the next by a half or more."""
    count = max(2, int(np.ceil((length - side) / (side / 2))) + 1)
    return [round(start) for start in np.linspace(0, length - side, count)]


def _is_whole(points: NDArray[np.float32], left: bool, top: bool, right: bool, bottom: bool) -> bool:
    """Whether a tile's face (478, 2) is whole: within the tile, or beyond such an edge as is the photo's edge too."""
    low, high = points.min(axis=0), points.max(axis=0)
    return bool((low[0] > 0 or left) and (low[1] > 0 or top) and (high[0] < 1 or right) and (high[1] < 1 or bottom))


def _distinct(faces: list[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    """The faces, largest first, without the detections that belong to a larger one."""
    kept: list[NDArray[np.float32]] = []
    for points in sorted(faces, key=_height, reverse=True):
        if not any(_belongs_to(points, larger) for larger in kept):
            kept.append(points)
    return kept


def _belongs_to(points: NDArray[np.float32], larger: NDArray[np.float32]) -> bool:
    """Whether a detection is the larger face again, or a small part of it: a badge on its cap, an eye behind glass."""
    low, high, centre = larger.min(axis=0), larger.max(axis=0), points.mean(axis=0)
    margin = (high - low) / 2 if _height(points) < _SMALL * _height(larger) else 0
    return bool(((low - margin < centre) & (centre < high + margin)).all())


def _height(points: NDArray[np.float32]) -> float:
    return float(np.ptp(points[:, 1]))


def _reduced(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The image (H, W, 3) with a shorter side of _DETECTION_PX at most."""
    scale = _DETECTION_PX / min(pixels.shape[:2])
    if scale >= 1:
        return pixels
    size = (round(pixels.shape[1] * scale), round(pixels.shape[0] * scale))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
