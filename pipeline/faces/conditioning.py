"""Conditioning maps: a generator's input beside the image, drawn from the landmarks.

The landmarker also places the nose and mouth under a mask, so that a generator that removes the mask need not guess
where they are.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.faces.regions import JAW, MOUTH, lower_face_mask

_BRIDGE = (6, 197, 195, 5, 4)
_NOSTRILS = (198, 49, 48, 64, 98, 97, 2, 326, 327, 294, 278, 279, 420)  # and the wings of the nose
_BETWEEN_LIPS = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191)

_LINE, _LIPS, _BETWEEN = 96, 176, 255  # levels, ascending in drawing order: no antialiased edge reads as another
_FRACTION_BITS = 4  # of OpenCV's coordinates


def conditioning_maps(points: NDArray[np.float32] | None, height: int, width: int) -> NDArray[np.uint8]:
    """(height, width, 2) uint8: the lower-face region, 0 or 255, and the landmark sketch, 0-255.

    Landmarks `points` (478, 2) are shares of width and height; without them both maps are 0.
    """
    if points is None:
        return np.zeros((height, width, 2), np.uint8)
    return np.dstack([lower_face_mask(points, height, width), landmark_sketch(points, height, width)])


def landmark_sketch(points: NDArray[np.float32], height: int, width: int) -> NDArray[np.uint8]:
    """Landmarks (478, 2) as shares -> (height, width) uint8: nose and jaw as lines, lips and open mouth filled."""
    pixels = points * np.array([width, height], np.float32)
    corners = np.rint(pixels * 2**_FRACTION_BITS - 2 ** (_FRACTION_BITS - 1)).astype(np.int32)
    sketch = np.zeros((height, width), np.uint8)
    thickness = max(1, round(height / 96))
    for line in (JAW, _BRIDGE, _NOSTRILS):
        cv2.polylines(sketch, [corners[list(line)]], False, _LINE, thickness, cv2.LINE_AA, _FRACTION_BITS)
    for area, level in ((MOUTH, _LIPS), (_BETWEEN_LIPS, _BETWEEN)):
        cv2.fillPoly(sketch, [corners[list(area)]], level, cv2.LINE_AA, _FRACTION_BITS)
    return sketch
