"""The face of a photo, cropped as a generator takes it, and the generator's output pasted back into the photo.

A `frame` is alignment.face_frame's: the similarity (2, 3) from the photo's px to shares of FFHQ's frame.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.faces.alignment import warp_crop
from pipeline.faces.conditioning import conditioning_maps

_MIN_ALPHA = 0.02  # a matte below this counts as 0, so that the rest of the photo stays exactly the same


def align_face(
    pixels: NDArray[np.uint8], points: NDArray[np.float32], frame: NDArray[np.float64], side: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A generator's input: the face (side, side, 3) RGB and its conditioning maps (side, side, 2).

    `points` (478, 2) are the landmarks in px of the photo, `pixels` (H, W, 3) RGB.
    """
    shares = (points @ frame[:, :2].T + frame[:, 2]).astype(np.float32)
    return warp_crop(pixels, _pixel_centre_matrix(frame, side), side), conditioning_maps(shares, side, side)


def paste_back(
    pixels: NDArray[np.uint8],
    output: NDArray[np.float32],
    matte: NDArray[np.float32],
    frame: NDArray[np.float64],
    fade: float,
) -> None:
    """Blend a generator's `output` (S, S, 3), 0-255, into a photo (H, W, 3), in place, by its `matte` (S, S), 0-1.

    Output and matte are scaled to the photo's size; pixels where the matte is 0 keep their exact values. The matte
    falls to 0 towards the frame's edge, over the share `fade` of its side, so that the edge is not visible.
    """
    side = matte.shape[0]
    scale = side * float(np.hypot(*frame[:, 0]))  # the frame's px for one of the photo's
    if scale > 1:  # shrink first: linear sampling would skip pixels
        side = max(1, round(side / scale))
        matte, output = (
            np.asarray(cv2.resize(plane, (side, side), interpolation=cv2.INTER_AREA), np.float32)
            for plane in (matte, output)
        )
    matte = matte * _edge_window(side, fade)
    left, top, right, bottom = _bounding_box(frame, *pixels.shape[1::-1])
    if left >= right or top >= bottom:
        return
    matrix = _pixel_centre_matrix(frame, side)
    matrix[:, 2] += matrix[:, :2] @ (left, top)
    size, inverse = (right - left, bottom - top), cv2.WARP_INVERSE_MAP  # the matrix leads from the photo to the frame
    alpha = cv2.warpAffine(matte, matrix, size, flags=cv2.INTER_LINEAR | inverse)
    colours = cv2.warpAffine(output, matrix, size, flags=cv2.INTER_CUBIC | inverse, borderMode=cv2.BORDER_REPLICATE)
    alpha = np.clip((alpha - _MIN_ALPHA) / (1 - _MIN_ALPHA), 0, 1)[..., None]
    photo = pixels[top:bottom, left:right]
    blended = alpha * colours + (1 - alpha) * photo
    np.copyto(photo, blended.round().clip(0, 255).astype(np.uint8), where=alpha > 0)


def _pixel_centre_matrix(frame: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """The frame as OpenCV's matrix (2, 3): from the centres of the photo's pixels to those of a square of `side` px."""
    rotation, shift = side * frame[:, :2], side * frame[:, 2]
    return np.column_stack([rotation, rotation @ (0.5, 0.5) + shift - 0.5])


def _edge_window(side: int, fade: float) -> NDArray[np.float32]:
    """(side, side): 1 inside, falling to 0 at the outermost px."""
    positions = np.arange(side)
    ramp = np.clip(np.minimum(positions, positions[::-1]) / max(1.0, fade * side), 0, 1)
    return np.minimum.outer(ramp, ramp).astype(np.float32)


def _bounding_box(frame: NDArray[np.float64], width: int, height: int) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the upright box around the frame, px, within the photo."""
    corners = np.array([[0, 0, 1], [1, 0, 1], [0, 1, 1], [1, 1, 1]]) @ cv2.invertAffineTransform(frame).T
    low, high = np.floor(corners.min(axis=0)), np.ceil(corners.max(axis=0))
    left, top = np.clip(low, 0, (width, height)).astype(int).tolist()
    right, bottom = np.clip(high, 0, (width, height)).astype(int).tolist()
    return left, top, right, bottom
