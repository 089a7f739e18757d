"""Image files: which names count as images, and how untrusted bytes are decoded to pixels.

Only open_image opens image files. It names the formats, because Pillow runs a program for another one (EPS), and it
refuses images that would take too much memory or time, before any pixel is decoded.
"""

import io
import re
import warnings
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")  # Pillow's names; an MPO of a phone is opened as JPEG
MAX_PIXELS = 100_000_000  # 400 MB of memory a copy; a larger image is a decompression bomb
MAX_SIDE = 20_000  # px: MediaPipe's OpenCV aborts the process from 32,767 px on, and detection may pad by one half
MAX_SCANS = 100  # of a JPEG: cameras write 1, encoders about 10; each scan passes over all pixels

_STANDARD_TABLE_SUM = 3688  # of the luminance quantization table in ITU T.81, annex K
_TILE_WIDTH, _TILE_LENGTH = 322, 323  # TIFF tags
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_WITHOUT_LENGTH = (0x01, 0xD8)  # JPEG markers without a segment
_MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])")  # excluded: FF 00 (a coded byte FF) and D0 to D7 (restarts)


@dataclass(frozen=True)
class Picture:
    """A decoded image, turned upright by its EXIF orientation."""

    image: Image.Image  # RGB; its shorter side is min_side px or more, unless the file's is smaller
    width: int  # px of the whole image, upright
    height: int
    quality: int  # 1-100, estimated
    reduction: int  # px of the whole image, in width and height, for one px of `image`; partial px at the far edges

    def pixels(self) -> NDArray[np.uint8]:
        """Return the pixels, (H, W, 3) uint8 RGB."""
        return np.asarray(self.image, dtype=np.uint8)


def is_image_name(path: str) -> bool:
    """Return whether a file counts as an image, by its extension."""
    return PurePosixPath(path).suffix.lower() in SUFFIXES


def open_image(content: bytes) -> Image.Image:
    """Open an image file: size and metadata at once, pixels on demand. Use it in a `with`.

    Raises ValueError for an image above MAX_PIXELS or MAX_SIDE (a TIFF's tiles count too) or with more than MAX_SCANS
    scans, OSError for a format that is not in FORMATS, and any exception of Pillow for a damaged file.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns about odd metadata, which does not matter here
        image = Image.open(io.BytesIO(content), formats=FORMATS)
    sizes = [image.size]
    tags = getattr(image, "tag_v2", {})  # of a TIFF: libtiff allocates a whole tile, however small the image
    if _TILE_WIDTH in tags and _TILE_LENGTH in tags:
        sizes.append((tags[_TILE_WIDTH], tags[_TILE_LENGTH]))
    for width, height in sizes:
        if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
            raise ValueError(f"{width:,} x {height:,} px are more than {MAX_PIXELS:,} px or a side of {MAX_SIDE:,} px")
    if image.format in ("JPEG", "MPO") and count_scans(content, MAX_SCANS + 1) > MAX_SCANS:
        raise ValueError(f"more than {MAX_SCANS} scans")
    return image


def decode(content: bytes, min_side: int | None) -> Picture | None:
    """Decode an image file; None if it is truncated or open_image refuses it.

    Large images are reduced to 1/2, 1/3, ... of their size while the shorter side stays at least `min_side` px; JPEGs
    are decoded at 1/2, 1/4 or 1/8, which is many times faster. Without `min_side` the size is kept.
    Raises MemoryError: that is a fault of the machine, which may pass, and not of the image.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with open_image(content) as image:
                (width, height), reduction = image.size, 1
                quality = _estimated_quality(image)
                if min_side is not None:
                    scale = min_side / min(width, height)
                    if drafted := image.draft("RGB", (int(np.ceil(width * scale)), int(np.ceil(height * scale)))):
                        reduction = round(width / drafted[1][2])
                upright = _as_rgb(image)
                turned = image.getexif().get(0x0112, 1) >= 5  # EXIF orientation: by a quarter
                ImageOps.exif_transpose(upright, in_place=True)
        if min_side is not None and (factor := min(upright.size) // min_side) > 1:
            upright, reduction = upright.reduce(factor), reduction * factor
        return Picture(upright, *((height, width) if turned else (width, height)), quality, reduction)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - on hostile bytes, decoders raise any exception; all mean: unreadable
        return None


def _estimated_quality(image: Image.Image) -> int:
    """The quality that a JPEG was saved with, 1-100; 100 for other formats, most of whose files are lossless.

    It is libjpeg's, whose luminance table is that of ITU T.81, annex K, scaled by the quality.
    """
    tables = getattr(image, "quantization", None)
    if not tables:
        return 100
    scale = 100 * sum(tables[min(tables)]) / _STANDARD_TABLE_SUM  # the inverse of libjpeg's jpeg_quality_scaling
    return int(np.clip(round(100 - scale / 2 if scale <= 100 else 5000 / scale), 1, 100))


def count_scans(content: bytes, most: int) -> int:
    """Return the number of scans of a JPEG file's first picture, counted up to `most`."""
    scans, at = 0, 0
    while scans < most and (found := _MARKER.search(content, at)):
        marker, at = found[1][0], found.end()
        if marker == _END_OF_IMAGE:
            break
        if marker not in _WITHOUT_LENGTH:
            at += int.from_bytes(content[at : at + 2], "big")  # skip the segment: it may hold a thumbnail
        scans += marker == _START_OF_SCAN
    return scans


def _as_rgb(image: Image.Image) -> Image.Image:
    """Return an RGB copy, with as few further copies as possible: one of the largest image takes 400 MB."""
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        # Pillow clips 16-bit grey to 255 instead of scaling it.
        grey = np.array(image, dtype=np.float32)
        grey *= 255 / max(255.0, 65535.0 if grey.max() > 255 else 255.0)
        shades = grey.clip(0, 255, out=grey).astype(np.uint8)
        return Image.fromarray(shades).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        layered = image if image.mode == "RGBA" else image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layered.size, (255, 255, 255, 255)), layered).convert("RGB")
    return image.convert("RGB")
