"""Landmarks looked at again in the face's own frame: rarely, a mask turns those of a small face by ten degrees.

In a photo the detector's eyes, nose and mouth decide how the landmarker turns a face, and a mask hides two of them. In
its frame the face is upright, and larger.
"""

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.faces.alignment import face_frame
from pipeline.faces.face_crops import crop_frame, framed_points
from pipeline.faces.landmarker import get_landmarker

_SIDE = 256  # px, of the frame that is searched
_TURNED = 4.0  # degrees: a smaller difference of roll is noise
_SAME_FACE = 0.06  # mean distance of the landmarks, share of the frame's side: further away is another face
_EYES = 33, 263  # their outer corners

Points = NDArray[np.float32]


def settled(pixels: NDArray[np.uint8], points: Points) -> Points:
    """The landmarks `points` (478, 2), px of the photo (H, W, 3); if they are turned wrongly, those of a second look.

    They are when two looks in the frame, the second in that of the first, agree on another roll.
    """
    first = _look(pixels, points)
    if first is None or not _is_turned(points, first):
        return points
    second = _look(pixels, first)
    if second is None or _is_turned(first, second) or _distance(points, second) > _SAME_FACE:
        return points
    return second


def _look(pixels: NDArray[np.uint8], points: Points) -> Points | None:
    """The landmarks found in the frame of `points`, px of the photo; None without a face there."""
    frame = face_frame(points)
    found = get_landmarker(1)(crop_frame(Image.fromarray(pixels), frame, _SIDE))
    if not found:
        return None
    return np.asarray((found[0].points - frame[:, 2]) @ np.linalg.inv(frame[:, :2]).T, np.float32)


def _is_turned(one: Points, other: Points) -> bool:
    (left, right), (other_left, other_right) = (points[list(_EYES)].astype(np.float64) for points in (one, other))
    (x, y), (other_x, other_y) = right - left, other_right - other_left
    return abs(math.degrees(math.atan2(x * other_y - y * other_x, x * other_x + y * other_y))) > _TURNED


def _distance(one: Points, other: Points) -> float:
    """The mean distance, share of the side of the frame of `one`."""
    frame = face_frame(one)
    return float(np.linalg.norm(framed_points(other, frame) - framed_points(one, frame), axis=1).mean())
