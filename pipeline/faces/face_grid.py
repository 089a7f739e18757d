"""A face in 96 bytes: a coarse picture of its aligned crop, to compare faces by likeness.

Bytes 0-63 are the lightness L* (0-100 as 0-255) in a grid of 8 x 8, row by row; bytes 64-79 are a* and bytes 80-95 b*
(both with 128 added) in grids of 4 x 4, since colour varies less from place to place. The crop is upright and has one
size, so that faces are compared part by part, whatever the photo's size and the head's tilt.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

LIGHTNESS_SIDE, COLOUR_SIDE = 8, 4
LIGHTNESS_BYTES = LIGHTNESS_SIDE**2
GRID_BYTES = LIGHTNESS_BYTES + 2 * COLOUR_SIDE**2


def face_grid(crop: NDArray[np.uint8]) -> bytes:
    """The grid of an aligned crop (CROP_SIDE, CROP_SIDE, 3) RGB: GRID_BYTES bytes."""
    small = cv2.resize(crop, (LIGHTNESS_SIDE, LIGHTNESS_SIDE), interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(small, cv2.COLOR_RGB2LAB)
    colours = cv2.resize(lab, (COLOUR_SIDE, COLOUR_SIDE), interpolation=cv2.INTER_AREA)
    return lab[:, :, 0].tobytes() + colours[:, :, 1].tobytes() + colours[:, :, 2].tobytes()


def decode_grids(contents: list[bytes]) -> NDArray[np.float32]:
    """N grids as (N, GRID_BYTES) float32: L* 0-100, then a* and b*."""
    values = np.frombuffer(b"".join(contents), np.uint8).reshape(-1, GRID_BYTES).astype(np.float32)
    values[:, :LIGHTNESS_BYTES] *= 100 / 255
    values[:, LIGHTNESS_BYTES:] -= 128
    return values
