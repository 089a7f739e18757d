"""The training image of a photo: its central square at one size, with conditioning maps."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.errors import FacemaskError
from pipeline.faces.conditioning import conditioning_maps
from pipeline.storage.images import decode


def central_square(
    content: bytes, points: NDArray[np.float32] | None, px: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The central square (px, px, 3) RGB of an image file, and its conditioning maps (px, px, 2).

    `points` (478, 2) are the landmarks as shares of the whole image; without them the maps are 0.
    Raises FacemaskError for a file that cannot be decoded.
    """
    picture = decode(content, px)
    if picture is None:
        raise FacemaskError("an accepted image can no longer be read: run 'dvc repro' to measure it again")
    width, height = picture.image.size
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    image = picture.image.resize(
        (px, px), Image.Resampling.LANCZOS, box=(left, top, left + side, top + side), reducing_gap=3.0
    )
    if points is not None:
        points = ((points * (width, height) - (left, top)) / side).astype(np.float32)
    return np.asarray(image, np.uint8), conditioning_maps(points, px, px)
