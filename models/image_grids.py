"""Grids of faces as one image, and PNG files of limited size."""

import io
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from pipeline.storage.files import replacing

MAX_BYTES = 1_200_000
_GAP = 2  # px of white between faces
_LARGEST_HEAD, _HEAD_SHARE = 18.0, 8.0  # px of the letters of a head, and the column's width over it


def image_grid(rows: list[list[NDArray[np.uint8]]]) -> NDArray[np.uint8]:
    """Rows of images (H, W, 3), equally many and of equal size -> one image, with white lines between them."""
    from torchvision.transforms.v2.functional import center_crop  # slow to load
    from torchvision.utils import make_grid

    images = torch.from_numpy(np.stack([image for row in rows for image in row])).permute(0, 3, 1, 2)
    framed = make_grid(images, nrow=len(rows[0]), padding=_GAP, pad_value=255)
    height, width = (
        count * (side + _GAP) - _GAP for count, side in zip((len(rows), len(rows[0])), images.shape[2:], strict=True)
    )
    sheet: NDArray[np.uint8] = center_crop(framed, [height, width]).permute(1, 2, 0).numpy()  # without the frame
    return sheet


def with_heads(grid: NDArray[np.uint8], heads: list[str]) -> NDArray[np.uint8]:
    """A grid (H, W, 3) below a white line with a head in the middle of each of its columns."""
    width = grid.shape[1]
    column = (width + _GAP) / len(heads)
    size = min(_LARGEST_HEAD, column / _HEAD_SHARE)
    font = ImageFont.load_default(size)
    line = Image.new("RGB", (width, round(1.6 * size)), "white")
    draw = ImageDraw.Draw(line)
    for place, head in enumerate(heads):
        draw.text(((place + 0.5) * column, line.height / 2), head, "black", font, "mm")
    return np.concatenate([np.asarray(line, np.uint8), grid])


def write_png(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write an image (H, W, 3) as PNG, scaled down until the file has at most MAX_BYTES."""
    image = Image.fromarray(pixels)
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
