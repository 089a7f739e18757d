"""A face of a photo in the frame that training saw, and what was painted there put back into the photo.

The frame is FFHQ's (Karras et al. 2019, appendix A), in which both data sets come: a square, upright with the head, of
some two and a half faces' area. A `frame` here is a similarity (2, 3) from the photo's px to shares of that square,
both counted from the upper left corner of the first pixel.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.faces.conditioning import conditioning_maps
from pipeline.faces.crops import warp_crop
from pipeline.faces.mask_coverage import FFHQ_TO_CROP, landmark_alignment

_FAINT = 0.02  # a matte below this is none: so all else in the photo stays as it was


def face_frame(points: NDArray[np.float32]) -> NDArray[np.float64]:
    """Landmarks (478, 2) in the photo's px -> the face's frame."""
    turn, shift = np.split(landmark_alignment(points), [2], axis=1)
    scale, offset = FFHQ_TO_CROP[:, :2], FFHQ_TO_CROP[:, 2:]
    inverse = np.linalg.inv(scale)
    return np.hstack([inverse @ turn, inverse @ (shift - offset)])


def align_face(
    pixels: NDArray[np.uint8], points: NDArray[np.float32], frame: NDArray[np.float64], side: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The face as a generator wants it: (side, side, 3) RGB, and its guide (side, side, 2)."""
    shares = points @ frame[:, :2].T + frame[:, 2]
    return warp_crop(pixels, _between_centres(frame, side), side), conditioning_maps(
        shares.astype(np.float32), side, side
    )


def paste_back(
    pixels: NDArray[np.uint8],
    paint: NDArray[np.float32],
    matte: NDArray[np.float32],
    frame: NDArray[np.float64],
    fade: float,
) -> None:
    """Paint a photo (H, W, 3) in place: paint (S, S, 3), 0-255, through matte (S, S), 0-1, both in the face's frame.

    The matte is brought to the photo's own size, and each pixel where it is none stays the very same. Towards the
    frame's edge what was painted fades, over `fade` of its side, lest the edge be seen.
    """
    side = matte.shape[0]
    scale = side * float(np.hypot(*frame[:, 0]))  # the square's px for one of the photo's
    if scale > 1:  # shrink first: linear sampling would leave pixels out
        side = max(1, round(side / scale))
        matte, paint = (
            np.asarray(cv2.resize(plane, (side, side), interpolation=cv2.INTER_AREA), np.float32)
            for plane in (matte, paint)
        )
    matte = matte * _window(side, fade)
    left, top, right, bottom = _box(frame, *pixels.shape[1::-1])
    if left >= right or top >= bottom:
        return
    at = _between_centres(frame, side)
    at[:, 2] += at[:, :2] @ (left, top)
    size = (right - left, bottom - top)
    weight = cv2.warpAffine(matte, at, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)  # `at` goes the other way
    colours = cv2.warpAffine(
        paint, at, size, flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
    )
    weight = np.clip((weight - _FAINT) / (1 - _FAINT), 0, 1)[..., None]
    part = pixels[top:bottom, left:right]
    mixed = weight * colours + (1 - weight) * part
    np.copyto(part, mixed.round().clip(0, 255).astype(np.uint8), where=weight > 0)


def _between_centres(frame: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """The frame as a matrix from the photo's pixel centres to those of a square of `side` px, as OpenCV counts."""
    turn, shift = side * frame[:, :2], side * frame[:, 2]
    return np.column_stack([turn, turn @ (0.5, 0.5) + shift - 0.5])


def _window(side: int, fade: float) -> NDArray[np.float32]:
    """(side, side): 1 inside, falling to 0 in the outermost px."""
    places = np.arange(side)
    ramp = np.clip(np.minimum(places, places[::-1]) / max(1.0, fade * side), 0, 1)
    return np.minimum.outer(ramp, ramp).astype(np.float32)


def _box(frame: NDArray[np.float64], width: int, height: int) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the upright box around the square, px, within the photo."""
    corners = np.array([[0, 0, 1], [1, 0, 1], [0, 1, 1], [1, 1, 1]]) @ cv2.invertAffineTransform(frame).T
    low, high = np.floor(corners.min(axis=0)), np.ceil(corners.max(axis=0))
    left, top = np.clip(low, 0, (width, height)).astype(int).tolist()
    right, bottom = np.clip(high, 0, (width, height)).astype(int).tolist()
    return left, top, right, bottom
