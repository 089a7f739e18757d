"""Face patches: a face as a small grey picture in FFHQ's frame, by which near-duplicates are found and compared.

Copies that are cropped, rotated, framed or captioned show their face at the same place, up to the landmarker's errors.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.curation.borders import PhotoBox
from pipeline.curation.hashes import FINE_PX, fine_hashes
from pipeline.faces.alignment import face_frame, warp_crop

PATCH_PX = 48
ABOVE_MASK_ROWS = 30  # of PATCH_PX: forehead, hair, eyes, and the background beside them
OUTSIDE = 0  # in a patch: beyond the photo's edge; its grey levels are 1 to 255


@dataclass(frozen=True)
class FacePatch:
    """A face in its frame."""

    pixels: NDArray[np.uint8]  # (PATCH_PX, PATCH_PX) grey
    frame: NDArray[np.float32]  # (2, 3) from shares of the photo, x and y, to shares of the patch


def face_patch(pixels: NDArray[np.uint8], points: NDArray[np.float32] | None, box: PhotoBox) -> FacePatch:
    """The patch of an image (H, W, 3) RGB, OUTSIDE beyond `box`, the photo in it (borders.py).

    `points` (478, 2) are the face's landmarks as shares of the image; without a face the frame is the photo.
    """
    size = np.array(pixels.shape[1::-1])
    left, top, right, bottom = box
    photo = np.array([[right - left, 0, left], [0, bottom - top, top], [0, 0, 1]], float)  # from its shares to px
    frame = np.linalg.inv(photo)[:2] if points is None else face_frame((points * size).astype(np.float32))
    matrix = PATCH_PX * frame  # between pixels' corners; OpenCV counts from their centres
    centres = np.column_stack([matrix[:, :2], matrix @ (0.5, 0.5, 1) - 0.5])
    grey = cv2.cvtColor(warp_crop(pixels, centres, PATCH_PX), cv2.COLOR_RGB2GRAY)
    x, y = _sources(matrix)
    inside = (x >= left) & (x <= right) & (y >= top) & (y <= bottom)
    patch = np.where(inside, np.maximum(grey, 1), OUTSIDE).astype(np.uint8)
    return FacePatch(patch, (frame @ photo).astype(np.float32))


def patch_array(column: pa.ChunkedArray) -> NDArray[np.uint8]:
    """The column `face_patch` of measured tables as (N, PATCH_PX, PATCH_PX); unreadable images have OUTSIDE only."""
    filled = pc.fill_null(column, pa.scalar(bytes(PATCH_PX**2), column.type)).combine_chunks()
    chunks = filled.chunks if isinstance(filled, pa.ChunkedArray) else [filled]
    return np.frombuffer(b"".join(_content(chunk) for chunk in chunks), np.uint8).reshape(-1, PATCH_PX, PATCH_PX)


def _content(chunk: pa.FixedSizeBinaryArray) -> memoryview:
    """The values of a chunk without nulls, one after the other."""
    width = chunk.type.byte_width
    return memoryview(chunk.buffers()[1])[chunk.offset * width : (chunk.offset + len(chunk)) * width]


def _sources(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where the patch's pixels come from: x and y, (2, PATCH_PX, PATCH_PX), px of the image."""
    inverse = cv2.invertAffineTransform(matrix)
    positions = np.arange(PATCH_PX) + 0.5
    grid = np.stack([*np.meshgrid(positions, positions), np.ones((PATCH_PX, PATCH_PX))])
    return np.asarray(np.tensordot(inverse, grid, 1), np.float64)


def face_hashes(patches: list[NDArray[np.uint8]]) -> tuple[list[bytes], list[bytes]]:
    """256-bit perceptual hashes of the patches' part above a mask, and those of the mirrored patches.

    A mask does not change them, so that they also find the unmasked photo of a masked face.
    """
    if not patches:
        return [], []
    above = np.stack([_scaled(patch[:ABOVE_MASK_ROWS]) for patch in patches])
    return fine_hashes(above)


def _scaled(patch: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A part of a patch at the hash's size; what is outside has the mean of the rest."""
    inside = patch != OUTSIDE
    mean = patch[inside].mean() if inside.any() else 0
    filled = np.where(inside, patch, mean).astype(np.float32)
    return np.asarray(cv2.resize(filled, (FINE_PX, FINE_PX), interpolation=cv2.INTER_LINEAR).round(), np.uint8)
