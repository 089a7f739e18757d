"""Pictures of what the generators do, as grids of faces in a PNG file of limited size."""

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.files import replacing

MAX_BYTES = 400_000
_GAP = 2  # px of white between faces


def grid(rows: list[list[NDArray[np.uint8]]]) -> NDArray[np.uint8]:
    """Rows of equally sized (H, W, 3) pictures -> one picture with white lines between them."""
    height, width, _ = rows[0][0].shape
    columns = max(len(row) for row in rows)
    sheet = np.full((len(rows) * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, 3), 255, np.uint8)
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            top, left = y * (height + _GAP), x * (width + _GAP)
            sheet[top : top + height, left : left + width] = picture
    return sheet


def write_png(path: Path, picture: NDArray[np.uint8]) -> None:
    """Write a picture, scaled down as far as MAX_BYTES asks."""
    image = Image.fromarray(picture)
    data = _png(image)
    while len(data) > MAX_BYTES:
        scale = 0.97 * (MAX_BYTES / len(data)) ** 0.5
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        image = image.resize(size, Image.Resampling.LANCZOS)
        data = _png(image)
    with replacing(path) as beside:
        beside.write_bytes(data)


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
