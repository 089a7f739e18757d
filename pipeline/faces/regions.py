"""Regions of the face as polygons over MediaPipe's 478 landmarks (indices of its canonical face model)."""

import cv2
import numpy as np
from numpy.typing import NDArray

# The face's outline below the ears, from the image's left to its right.
JAW = (93, 132, 58, 172, 136, 150, 149, 176, 148, 152,
       377, 400, 378, 379, 365, 397, 288, 361, 323)  # fmt: skip
# The upper edge of a correctly worn mask, from the image's right to its left: cheekbone, bridge of the nose, cheekbone.
UPPER_EDGE = (366, 345, 346, 347, 329, 195, 100, 118, 117, 116, 137)
LOWER_FACE = JAW + UPPER_EDGE
# The outline of the whole face, clockwise from the middle of the forehead.
FACE_OVAL = (10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152,
             148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109)  # fmt: skip

NOSE = (195, 248, 456, 420, 279, 358, 327, 2, 98, 129, 49, 198, 236, 3)
MOUTH = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
CHIN = (32, 194, 83, 18, 313, 418, 262, 369, 377, 152, 148, 140)
LEFT_CHEEK = (50, 205, 207, 214, 192, 213, 147, 123)
RIGHT_CHEEK = (280, 425, 427, 434, 416, 433, 376, 352)
# From the lower eyelid to the upper edge of a mask.
LEFT_UPPER_CHEEK = (111, 31, 228, 229, 230, 231, 232, 121, 47, 100, 101, 50, 123, 116)
RIGHT_UPPER_CHEEK = (340, 261, 448, 449, 450, 451, 452, 350, 277, 329, 330, 280, 352, 345)
FOREHEAD_ABOVE_BROWS = (69, 108, 151, 337, 299, 336, 9, 107)
BETWEEN_EYES = (9, 107, 193, 122, 6, 351, 417, 336)
EYES = (
    (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246),
    (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466),
)


def polygon_mask(points: NDArray[np.float32], polygon: tuple[int, ...], height: int, width: int) -> NDArray[np.uint8]:
    """Fill one region: points (478, 2) as shares of width and height -> (height, width) uint8, 0 or 255."""
    corners = np.rint(points[list(polygon)] * (width, height) * 16 - 8).astype(np.int32)  # 4 fractional bits
    mask = np.zeros((height, width), np.uint8)
    cv2.fillPoly(mask, [corners], 255, shift=4)
    return mask


def lower_face_mask(points: NDArray[np.float32], height: int, width: int) -> NDArray[np.uint8]:
    """Where a mask belongs, (height, width) uint8, 0 or 255: LOWER_FACE dilated by a tenth of its height."""
    mask = polygon_mask(points, LOWER_FACE, height, width)
    rows = np.flatnonzero(mask.any(axis=1))
    if not rows.size:
        return mask
    radius = max(1, round(0.1 * (rows[-1] - rows[0])))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return np.asarray(cv2.dilate(mask, kernel), dtype=np.uint8)
