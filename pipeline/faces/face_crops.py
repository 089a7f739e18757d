"""The face of a photo, cropped as training and the generators take it, and a generator's output pasted back.

A `frame` is alignment.face_frame's: the similarity (2, 3) from the photo's px to shares of FFHQ's frame.
"""

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.faces.alignment import frame_corners, frame_side
from pipeline.faces.conditioning import conditioning_maps

_LANCZOS = Image.Resampling.LANCZOS
_REDUCING_GAP = 3.0  # Pillow averages whole pixels first, down to three times the size: many times faster, as sharp
_BORDER = 4  # px around a frame, at the size it is warped at, that resampling reads
_MIN_ALPHA = 0.02  # a matte below this counts as 0, so that the rest of the photo stays exactly the same


def align_face(
    pixels: NDArray[np.uint8], points: NDArray[np.float32], frame: NDArray[np.float64], side: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A generator's input: the face (side, side, 3) RGB and its conditioning maps (side, side, 2).

    `points` (478, 2) are the landmarks in px of the photo, `pixels` (H, W, 3) RGB.
    """
    crop = crop_frame(Image.fromarray(pixels), frame, side)
    return crop, conditioning_maps(framed_points(points, frame), side, side)


def framed_points(points: NDArray[np.float32], frame: NDArray[np.float64]) -> NDArray[np.float32]:
    """Landmarks `points` (478, 2) in px of the photo -> shares of the frame."""
    return np.asarray(points @ frame[:, :2].T + frame[:, 2], np.float32)


def crop_frame(photo: Image.Image, frame: NDArray[np.float64], side: int) -> NDArray[np.uint8]:
    """The square `frame` of an RGB photo at (side, side, 3), without aliasing; outside the photo its edge is repeated.

    An upright frame within the photo is resized in one step, Pillow's Lanczos. Any other is scaled to twice the
    square's size (or less: never enlarged), warped there with a cubic, which is nearly exact at that size, and halved.
    """
    corners = frame_corners(frame).round(6)  # so that a whole image has whole corners
    (left, top), (right, bottom) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    inside = left >= 0 and top >= 0 and right <= photo.width and bottom <= photo.height
    if inside and frame[1, 0] == 0 and frame[0, 0] > 0:
        square = photo.resize((side, side), _LANCZOS, (left, top, right, bottom), _REDUCING_GAP)
        return np.asarray(square, np.uint8)
    scale = min(1.0, 2 * side / frame_side(frame))
    border, (width, height) = _BORDER / scale, photo.size
    left, right = np.clip((left - border, right + border), (0, 1), (width - 1, width)).astype(int).tolist()
    top, bottom = np.clip((top - border, bottom + border), (0, 1), (height - 1, height)).astype(int).tolist()
    surroundings = photo.crop((left, top, right, bottom))
    if scale < 1:
        width, height = (max(1, round(scale * length)) for length in surroundings.size)
        surroundings = surroundings.resize((width, height), _LANCZOS, reducing_gap=_REDUCING_GAP)
    moved = frame.copy()
    moved[:, 2] += frame[:, :2] @ (left, top)
    moved[:, :2] *= ((right - left) / surroundings.width, (bottom - top) / surroundings.height)
    matrix = _pixel_centre_matrix(moved, 2 * side)
    twice = cv2.warpAffine(
        np.asarray(surroundings, np.uint8), matrix, (2 * side, 2 * side), None, cv2.INTER_CUBIC, cv2.BORDER_REPLICATE
    )
    return np.asarray(Image.fromarray(np.asarray(twice, np.uint8)).resize((side, side), _LANCZOS), np.uint8)


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
    scale = side / frame_side(frame)  # the frame's px for one of the photo's
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


def unframed(
    maps: NDArray[np.float32], frame: NDArray[np.float64], box: tuple[int, int, int, int]
) -> NDArray[np.float32]:
    """Maps (S, S, C) of a frame, at each pixel of a part of the photo: left, top, right, bottom -> (h, w, C).

    Outside the frame the value at its edge is repeated.
    """
    left, top, right, bottom = box
    matrix = _pixel_centre_matrix(frame, maps.shape[0])
    matrix[:, 2] += matrix[:, :2] @ (left, top)
    flags, border = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, cv2.BORDER_REPLICATE
    planes = [
        cv2.warpAffine(
            np.ascontiguousarray(maps[..., plane]), matrix, (right - left, bottom - top), None, flags, border
        )
        for plane in range(maps.shape[2])
    ]
    return np.dstack(planes).astype(np.float32)


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
    corners = frame_corners(frame)
    low, high = np.floor(corners.min(axis=0)), np.ceil(corners.max(axis=0))
    left, top = np.clip(low, 0, (width, height)).astype(int).tolist()
    right, bottom = np.clip(high, 0, (width, height)).astype(int).tolist()
    return left, top, right, bottom
