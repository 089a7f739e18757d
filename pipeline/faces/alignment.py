"""Where a face is: FFHQ's frame, the upright crop that networks read, and how pixels are brought there.

Both data sets come in FFHQ's frame (Karras et al. 2019, appendix A): a square around the head, whose area is about 2.5
times the face's. Here it is found in two ways, for two purposes:

- ffhq_frame: the paper's formula, from eyes and mouth; but upright, where the paper turns the square with the eyes.
  It frames unmasked photos, whose landmarks are exact.
- face_frame: turned with the head, by a least-squares fit of 27 landmarks to their mean places in FFHQ. It frames
  any face: under a mask some landmarks are guesses, and one wrong point moves a fit little.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

CROP_SIDE = 64  # px of the aligned crop
FFHQ_TO_CROP = np.array([[73.1, 0.0, -5.0], [0.0, 73.1, -17.8]])
"""From shares of FFHQ's frame to px of the aligned crop: the mean of 200 faces."""

# Where an upright face that looks ahead has these landmarks in the aligned crop, px: the mean of 200 FFHQ faces
# (Procrustes), made symmetric. Chosen far apart, so that a wrong guess of one part of the face moves the whole little.
_PLACES: dict[int, tuple[float, float]] = {
    33: (17.73, 16.38), 263: (45.27, 16.38), 133: (26.09, 17.08), 362: (36.91, 17.08), 70: (13.41, 11.70),
    300: (49.59, 11.70), 168: (31.5, 15.77), 6: (31.5, 18.33), 1: (31.5, 29.33), 2: (31.5, 31.18), 129: (24.86, 28.05),
    358: (38.14, 28.05), 61: (22.53, 37.02), 291: (40.47, 37.02), 13: (31.5, 37.13), 17: (31.5, 42.75),
    50: (15.76, 26.59), 280: (47.24, 26.59), 234: (9.47, 21.79), 454: (53.53, 21.79), 132: (10.35, 31.47),
    361: (52.65, 31.47), 172: (13.67, 41.20), 397: (49.33, 41.20), 148: (27.40, 52.30), 377: (35.60, 52.30),
    152: (31.5, 52.72),
}  # fmt: skip

_EYES = (468, 473)  # the pupils: the image's left, right
_MOUTH = (61, 291)  # its corners


def ffhq_frame(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Centre (2,) and side of FFHQ's frame, not turned, in the unit of the landmarks `points` (478, 2).

    Karras et al. 2019, appendix A: the side follows from the eyes' distance and the distance from eyes to mouth.
    """
    eyes, mouth = points[list(_EYES)], points[list(_MOUTH)]
    eye_to_eye = eyes[1] - eyes[0]
    eye_to_mouth = mouth.mean(axis=0) - eyes.mean(axis=0)
    half = max(2.0 * np.hypot(*eye_to_eye), 1.8 * np.hypot(*eye_to_mouth))
    return eyes.mean(axis=0) + 0.1 * eye_to_mouth, 2 * float(half)


def face_frame(points: NDArray[np.float32]) -> NDArray[np.float64]:
    """Landmarks (478, 2) in the photo's px -> the similarity (2, 3) from the photo's px to shares of FFHQ's frame.

    Px are counted from the upper left corner of the first pixel.
    """
    rotation, shift = np.split(landmark_alignment(points), [2], axis=1)
    scale, offset = FFHQ_TO_CROP[:, :2], FFHQ_TO_CROP[:, 2:]
    inverse = np.linalg.inv(scale)
    return np.hstack([inverse @ rotation, inverse @ (shift - offset)])


def landmark_alignment(points: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """The similarity (2, 3) that brings landmarks (478, 2), px, nearest to their mean places in the aligned crop, px.

    Least squares over the landmarks of _PLACES.
    """
    return fit_similarity(points[list(_PLACES)].astype(np.float64), np.array(list(_PLACES.values())))


def fit_similarity(source: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """The similarity (2, 3) that brings points (N, 2) nearest to others by least squares, without reflection."""
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    x, y = (source - source_mean).T
    u, v = (target - target_mean).T
    size = max(float((x * x + y * y).sum()), 1e-9)
    cos, sin = float((x * u + y * v).sum()) / size, float((x * v - y * u).sum()) / size
    rotation = np.array([[cos, -sin], [sin, cos]])
    return np.column_stack([rotation, target_mean - rotation @ source_mean])


def aligned_crop(pixels: NDArray[np.uint8], matrix: NDArray[np.float64], margin: int = 0) -> NDArray[np.uint8]:
    """The aligned crop of an image (H, W, 3), `margin` px larger on each side; `matrix` is its landmark_alignment."""
    shifted = matrix.copy()
    shifted[:, 2] += margin
    return warp_crop(pixels, shifted, CROP_SIDE + 2 * margin)


def warp_crop(pixels: NDArray[np.uint8], matrix: NDArray[np.float64], side: int) -> NDArray[np.uint8]:
    """Warp an image (H, W, 3) to the square (side, side, 3) without aliasing; outside the image its edge is repeated.

    `matrix` (2, 3) is a similarity from the image's px to the square's, both counted from the centre of the first one.
    """
    matrix, scale = matrix.copy(), float(np.hypot(*matrix[:, 0]))
    if scale < 0.25:  # a large photo: shrink the square's surroundings first
        corners = np.array([[0, 0, 1], [side, 0, 1], [0, side, 1], [side, side, 1]])
        corners = corners @ cv2.invertAffineTransform(matrix).T
        low = np.floor(corners.min(axis=0)).astype(int).clip(0)
        high = np.ceil(corners.max(axis=0)).astype(int).clip(low + 2)
        pixels = pixels[low[1] : high[1], low[0] : high[0]]
        if pixels.size:
            size = np.maximum(1, np.array(pixels.shape[1::-1]) * 2 * scale).astype(int)
            ratio = size / np.array(pixels.shape[1::-1])
            pixels = np.asarray(cv2.resize(pixels, tuple(size.tolist()), interpolation=cv2.INTER_AREA), np.uint8)
            matrix[:, 2] += matrix[:, :2] @ low
            matrix[:, :2] = matrix[:, :2] / ratio
    if not pixels.size:
        return np.zeros((side, side, 3), np.uint8)
    # Sampled at twice the size, then halved: linear sampling alone would skip pixels.
    twice = 2 * matrix
    twice[:, 2] += 0.5
    flags, border = cv2.INTER_LINEAR, cv2.BORDER_REPLICATE
    large = cv2.warpAffine(pixels, twice, (2 * side, 2 * side), flags=flags, borderMode=border)
    return np.asarray(cv2.resize(large, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
