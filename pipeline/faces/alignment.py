"""Where a face is: FFHQ's frame, the training crop, and the small upright crop that the coverage network reads.

Both data sets come in FFHQ's frame (Karras et al. 2019, appendix A): a square around the head, whose area is about 2.5
times the face's. Here it is found in two ways, for two purposes:

- ffhq_frame: the paper's formula, from eyes and mouth; but upright, where the paper turns the square with the eyes.
  It frames unmasked photos, whose landmarks are exact.
- face_frame: turned with the head, by a least-squares fit of 27 landmarks to their mean places in FFHQ. It frames
  any face: under a mask some landmarks are guesses, and one wrong point moves a fit little.

A frame is the similarity (2, 3) from an image's px, counted from the upper left corner of the first pixel, to shares
of the square.
"""

import math
from dataclasses import dataclass
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

_FITTED, _TARGETS = list(_PLACES), np.array(list(_PLACES.values()))
_CORNERS = np.array([[0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1]])  # of a frame, in order around it

# An image counts as one in FFHQ's frame if face_frame lies no farther than this from the image itself. In FFHQ and
# MaskedFace-Net the two differ by up to 1.30 times the side, .15 of it and 8.8 degrees (docs/curation.md).
_SCALE_TOLERANCE = 1.35  # the larger side over the smaller
_SHIFT_TOLERANCE = 0.18  # of the centre, as a share of the image's side
_ROLL_TOLERANCE = 10.0  # degrees

HANGING = 1.06
"""By how much the frame in which a mask is taken off is larger than FFHQ's.

Under a mask the landmarks show the chin too high: on six of seven portraits the mask hung out of FFHQ's frame. With
1.06, at the scale of training's crops, two in six kept a tip of cloth.
"""

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
    """Landmarks (478, 2) in the photo's px -> FFHQ's frame around the face."""
    rotation, shift = np.split(landmark_alignment(points), [2], axis=1)
    scale, offset = FFHQ_TO_CROP[:, :2], FFHQ_TO_CROP[:, 2:]
    inverse = np.linalg.inv(scale)
    return np.hstack([inverse @ rotation, inverse @ (shift - offset)])


def hanging_frame(frame: NDArray[np.float64]) -> NDArray[np.float64]:
    """The frame (2, 3), enlarged by HANGING to the sides and downwards: a mask hangs below the landmarks' chin."""
    shift = np.array([[0, 0, (HANGING - 1) / 2], [0, 0, 0]])
    return np.asarray((frame + shift) / HANGING, np.float64)


def central_frame(width: int, height: int) -> NDArray[np.float64]:
    """The frame of an image's central square: of a square image, the whole of it."""
    side = min(width, height)
    return np.array([[1, 0, -((width - side) // 2)], [0, 1, -((height - side) // 2)]]) / side


def is_ffhq_framed(frame: NDArray[np.float64], width: int, height: int) -> bool:
    """Whether a whole image is in FFHQ's frame already: it is square, and near the `frame` around its face."""
    if width != height:
        return False
    scale = frame_side(frame) / width
    x, y = cv2.invertAffineTransform(frame) @ (0.5, 0.5, 1) / width - 0.5
    return (
        max(scale, 1 / scale) <= _SCALE_TOLERANCE
        and math.hypot(x, y) <= _SHIFT_TOLERANCE
        and abs(math.degrees(math.atan2(frame[1, 0], frame[0, 0]))) <= _ROLL_TOLERANCE
    )


def training_frame(points: NDArray[np.float32], width: int, height: int) -> NDArray[np.float64]:
    """The frame that training sees of an image whose landmarks (478, 2) are in px: the whole of it if is_ffhq_framed,
    otherwise FFHQ's frame around the face.
    """
    frame = face_frame(points)
    return central_frame(width, height) if is_ffhq_framed(frame, width, height) else frame


def frame_side(frame: NDArray[np.float64]) -> float:
    """The side of a frame, px of the image."""
    return 1 / math.hypot(frame[0, 0], frame[1, 0])


def frame_corners(frame: NDArray[np.float64]) -> NDArray[np.float64]:
    """The corners (4, 2) of a frame, px of the image, in order around it."""
    return _CORNERS @ cv2.invertAffineTransform(frame).T


def landmark_alignment(points: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """The similarity (2, 3) that brings landmarks (478, 2), px, nearest to their mean places in the aligned crop, px.

    Least squares over the landmarks of _PLACES.
    """
    return fit_similarity(points[_FITTED].astype(np.float64), _TARGETS)


def fit_similarity(source: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """The similarity (2, 3) that brings points (N, 2) nearest to others by least squares, without reflection."""
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    x, y = (source - source_mean).T
    u, v = (target - target_mean).T
    size = max(float((x * x + y * y).sum()), 1e-9)
    cos, sin = float((x * u + y * v).sum()) / size, float((x * v - y * u).sum()) / size
    rotation = np.array([[cos, -sin], [sin, cos]])
    return np.column_stack([rotation, target_mean - rotation @ source_mean])


@dataclass(frozen=True)
class AlignedFace:
    """A face's aligned crop."""

    crop: NDArray[np.uint8]  # (CROP_SIDE, CROP_SIDE, 3) RGB
    points: NDArray[np.float32]  # landmarks (478, 2) as shares of the crop
    matrix: NDArray[np.float64]  # (2, 3), from the image's px to the crop's: its landmark_alignment


def align(pixels: NDArray[np.uint8], points: NDArray[np.float32]) -> AlignedFace:
    """Align a face: an image (H, W, 3) and its landmarks (478, 2) as shares of the image."""
    px = points * np.array(pixels.shape[1::-1], np.float32)
    matrix = landmark_alignment(px)
    landmarks = (px @ matrix[:, :2].T + matrix[:, 2]) / CROP_SIDE
    return AlignedFace(aligned_crop(pixels, matrix), landmarks.astype(np.float32), matrix)


def aligned_crop(pixels: NDArray[np.uint8], matrix: NDArray[np.float64], margin: int = 0) -> NDArray[np.uint8]:
    """The aligned crop of an image (H, W, 3), `margin` px larger on each side; `matrix` is its landmark_alignment."""
    shifted = matrix.copy()
    shifted[:, 2] += margin
    return warp_crop(pixels, shifted, CROP_SIDE + 2 * margin)


def warp_crop(pixels: NDArray[np.uint8], matrix: NDArray[np.float64], side: int) -> NDArray[np.uint8]:
    """Warp an image (H, W, 3) to the square (side, side, 3) without aliasing; outside the image its edge is repeated.

    Fast and a little soft, as the coverage network was trained: face_crops.crop_frame is for pictures to look at.
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
            matrix[:, 2] += matrix[:, :2] @ (low + 0.5 / ratio - 0.5)  # from centre to centre of pixels of two sizes
            matrix[:, :2] = matrix[:, :2] / ratio
    if not pixels.size:
        return np.zeros((side, side, 3), np.uint8)
    # Sampled at twice the size, then halved: linear sampling alone would skip pixels.
    twice = 2 * matrix
    twice[:, 2] += 0.5
    flags, border = cv2.INTER_LINEAR, cv2.BORDER_REPLICATE
    large = cv2.warpAffine(pixels, twice, (2 * side, 2 * side), flags=flags, borderMode=border)
    return np.asarray(cv2.resize(large, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
