"""Cutting an upright square out of a picture, turned and scaled, without leaving pixels out."""

import cv2
import numpy as np
from numpy.typing import NDArray


def warp_crop(pixels: NDArray[np.uint8], matrix: NDArray[np.float64], side: int) -> NDArray[np.uint8]:
    """(H, W, 3) RGB -> the square (side, side, 3); beyond the picture its edge's colours go on.

    `matrix` (2, 3) takes the picture's px to the square's, both counted from the middle of the first one.
    """
    at, scale = matrix.copy(), float(np.hypot(*matrix[:, 0]))
    if scale < 0.25:  # a large photo: shrink the face's surroundings first
        inverse = cv2.invertAffineTransform(at)
        corners = np.array([[0, 0, 1], [side, 0, 1], [0, side, 1], [side, side, 1]]) @ inverse.T
        low = np.floor(corners.min(axis=0)).astype(int).clip(0)
        high = np.ceil(corners.max(axis=0)).astype(int).clip(low + 2)
        pixels = pixels[low[1] : high[1], low[0] : high[0]]
        if pixels.size:
            size = np.maximum(1, np.array(pixels.shape[1::-1]) * 2 * scale).astype(int)
            ratio = size / np.array(pixels.shape[1::-1])
            pixels = np.asarray(cv2.resize(pixels, tuple(size.tolist()), interpolation=cv2.INTER_AREA), np.uint8)
            at[:, 2] += at[:, :2] @ low
            at[:, :2] = at[:, :2] / ratio
    if not pixels.size:
        return np.zeros((side, side, 3), np.uint8)
    # At twice the size, then halved: linear sampling alone would skip pixels.
    twice = 2 * at
    twice[:, 2] += 0.5
    flags, border = cv2.INTER_LINEAR, cv2.BORDER_REPLICATE
    large = cv2.warpAffine(pixels, twice, (2 * side, 2 * side), flags=flags, borderMode=border)
    return np.asarray(cv2.resize(large, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
