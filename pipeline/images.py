"""Image files: which names count as images, and bytes to pixels, each file decoded once."""

import io
import warnings
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})
MAX_PIXELS = 100_000_000  # above this a file is a decompression bomb, not a face: 300 MB of memory


@dataclass(frozen=True)
class Picture:
    """One decoded image, upright as its EXIF orientation says."""

    image: Image.Image  # RGB, its shorter side min_side px or more where the file has as many
    width: int  # px of the whole image, upright
    height: int

    def pixels(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB."""
        return np.asarray(self.image, dtype=np.uint8)


def is_image_name(path: str) -> bool:
    return PurePosixPath(path).suffix.lower() in SUFFIXES


def decode(content: bytes, min_side: int) -> Picture | None:
    """Decode an image file; None where it is truncated, too large (MAX_PIXELS) or no image at all.

    Large images come at 1/2, 1/3, ... of their size, so that the shorter side stays at least `min_side` px: JPEGs are
    decoded at 1/2, 1/4 or 1/8 right away, which is many times faster.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd metadata; the pixels decide
            with Image.open(io.BytesIO(content)) as image:
                width, height = image.size
                if width * height > MAX_PIXELS:
                    return None
                scale = min_side / min(width, height)
                image.draft("RGB", (int(np.ceil(width * scale)), int(np.ceil(height * scale))))
                upright = ImageOps.exif_transpose(_as_rgb(image))
                upright = upright.reduce(max(1, min(upright.size) // min_side))
                if image.getexif().get(0x0112, 1) >= 5:  # EXIF orientation: turned by a quarter
                    width, height = height, width
                return Picture(upright, width, height)
    except Exception:  # noqa: BLE001 - decoders raise of every kind on hostile bytes; all mean: unreadable
        return None


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        # Pillow clips 16-bit grey to 255 instead of scaling it.
        grey = np.asarray(image, dtype=np.float32)
        scale = 255 / max(255.0, 65535.0 if grey.max() > 255 else 255.0)
        return Image.fromarray((grey * scale).clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        layered = image.convert("RGBA")
        ground = Image.new("RGBA", layered.size, (255, 255, 255, 255))
        return Image.alpha_composite(ground, layered).convert("RGB")
    return image.convert("RGB")
