"""Image files: which names count as images, and how untrusted bytes are decoded to pixels.

Only open_image opens image files. It names the formats, because Pillow runs a program for another one (EPS), and it
refuses images that would take too much memory or time, before any pixel is decoded.
"""

import io
import warnings
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.storage.image_bytes import count_scans, png_depth, without_metadata

SUFFIXES = frozenset(
    {".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jif", ".jfif", ".mpo", ".webp", ".bmp", ".dib", ".tif", ".tiff"}
    | {".gif", ".avif", ".avifs", ".jp2", ".j2k", ".jpf", ".jpx", ".pgm", ".ppm", ".pnm", ".pbm"}
)
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "AVIF", "JPEG2000", "PPM", "DIB")
"""Pillow's names; an MPO of a phone is opened as JPEG. Left out are EPS, which starts a program, and rare ones."""
MAX_PIXELS = 100_000_000  # 400 MB of memory a copy; a larger image is a decompression bomb
MAX_SIDE = 20_000  # px: MediaPipe's OpenCV aborts the process from 32,767 px on, and detection may pad by one half
MAX_SCANS = 100  # of a JPEG: cameras write 1, encoders about 10; each scan passes over all pixels

_STANDARD_TABLE_SUM = 3688  # of the luminance quantization table in ITU T.81, annex K
OPAQUE = 255
_BYTE = 8  # bits
_TILE_WIDTH, _TILE_LENGTH = 322, 323  # TIFF tags
_ORIENTATION, _BITS = 0x0112, 0x0102  # the tag of EXIF, and TIFF's
_SEVERAL_FRAMES = ("GIF", "PNG", "WEBP", "AVIF", "TIFF")  # not MPO, whose further frames are previews of the photo
_UPRIGHT = {  # EXIF orientation -> how such a file's pixels are turned upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Picture:
    """A decoded image, turned upright by its EXIF orientation."""

    image: Image.Image  # RGB; its shorter side is min_side px or more, unless the file's is smaller
    width: int  # px of the whole image, upright
    height: int
    quality: int  # 1-100, estimated
    reduction: int  # px of the whole image, in width and height, for one px of `image`; partial px at the far edges
    # Only at the file's own size, without min_side:
    layered: Image.Image | None = None  # RGBA, upright, if some pixels are not opaque: `image` has these on white
    lost: tuple[str, ...] = ()  # what the file has and `image` has not, as the end of a sentence about `image`

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
    """Decode an image file; None if it is truncated or open_image refuses it. Damaged metadata is passed over.

    Large images are reduced to 1/2, 1/3, ... of their size while the shorter side stays at least `min_side` px; JPEGs
    are decoded at 1/2, 1/4 or 1/8, which is many times faster. Without `min_side` the size is kept.
    Raises MemoryError: that is a fault of the machine, which may pass, and not of the image.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with open_for_pixels(content) as image:
                (width, height), reduction = image.size, 1
                quality = _estimated_quality(image)
                if min_side is not None:
                    scale = min_side / min(width, height)
                    if drafted := image.draft("RGB", (int(np.ceil(width * scale)), int(np.ceil(height * scale)))):
                        reduction = round(width / drafted[1][2])
                image.load()
                orientation = _orientation(image)  # before the conversion: not every one keeps the metadata
                layered = _layered(image)
                upright = _as_rgb(image) if layered is None else _on_white(layered)
                lost = _lost(image, content) if min_side is None else ()
                if orientation in _UPRIGHT:
                    upright = upright.transpose(_UPRIGHT[orientation])
        if min_side is not None and (factor := min(upright.size) // min_side) > 1:
            upright, reduction = upright.reduce(factor), reduction * factor
        if layered is not None and min_side is None and np.asarray(layered.getchannel("A")).min() < OPAQUE:
            layered = layered.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else layered
        else:
            layered = None
        size = (height, width) if orientation >= 5 else (width, height)
        return Picture(upright, *size, quality, reduction, layered, lost)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - on hostile bytes, decoders raise any exception; all mean: unreadable
        return None


def open_for_pixels(content: bytes) -> Image.Image:
    """Open an image file as open_image does, but without metadata other than EXIF if Pillow cannot read these."""
    try:
        return open_image(content)
    except MemoryError:
        raise
    except Exception:  # Pillow raises any exception on damaged metadata, as it does on a damaged image
        if (bare := without_metadata(content)) is None:
            raise
        return open_image(bare)


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1-8; 1 if there is none, or none that can be read."""
    try:
        value = image.getexif().get(_ORIENTATION)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - on damaged metadata Pillow raises any exception; the pixels are sound
        return 1
    if isinstance(value, bytes) and len(value) == 1:  # stored as BYTE instead of SHORT
        value = value[0]
    elif isinstance(value, str) and value.strip().isdecimal():  # stored as ASCII
        value = int(value)
    return value if isinstance(value, int) and value in _UPRIGHT else 1


def _estimated_quality(image: Image.Image) -> int:
    """The quality that a JPEG was saved with, 1-100; 100 for other formats, most of whose files are lossless.

    It is libjpeg's, whose luminance table is that of ITU T.81, annex K, scaled by the quality.
    """
    tables = getattr(image, "quantization", None)
    if not tables:
        return 100
    scale = 100 * sum(tables[min(tables)]) / _STANDARD_TABLE_SUM  # the inverse of libjpeg's jpeg_quality_scaling
    return int(np.clip(round(100 - scale / 2 if scale <= 100 else 5000 / scale), 1, 100))


def _as_rgb(image: Image.Image) -> Image.Image:
    """Return an RGB copy, with as few further copies as possible: one of the largest image takes 400 MB."""
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        # Pillow clips 16-bit grey to 255 instead of scaling it.
        grey = np.array(image, dtype=np.float32)
        grey *= 255 / max(255.0, 65535.0 if grey.max() > 255 else 255.0)
        shades = grey.clip(0, 255, out=grey).astype(np.uint8)
        return Image.fromarray(shades).convert("RGB")
    return image.convert("RGB")


def _layered(image: Image.Image) -> Image.Image | None:
    """The image as RGBA if its file may have pixels that are not opaque."""
    if image.mode in ("RGBA", "LA", "La", "RGBa", "PA") or "transparency" in image.info:
        return image if image.mode == "RGBA" else image.convert("RGBA")
    return None


def _on_white(layered: Image.Image) -> Image.Image:
    return Image.alpha_composite(Image.new("RGBA", layered.size, (255, 255, 255, 255)), layered).convert("RGB")


def _lost(image: Image.Image, content: bytes) -> tuple[str, ...]:
    """Text on what an open image file has and its RGB pixels have not: further frames, more than 8 bits a channel."""
    lost = []
    try:
        if image.format in _SEVERAL_FRAMES and getattr(image, "is_animated", False):
            lost.append("is of the first frame only")
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - decoders raise any exception on a damaged second frame
        lost.append("is of the first frame only (others are damaged)")
    bits = max(getattr(image, "tag_v2", {}).get(_BITS, (8,)))
    if image.mode.startswith("I") or image.mode == "F" or bits > _BYTE or png_depth(content) > _BYTE:
        lost.append("has 8 bits a channel, fewer than the photo")
    return tuple(lost)
