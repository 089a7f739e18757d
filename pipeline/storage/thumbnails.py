"""Thumbnails: made once, as an image is measured, and stored with its measurements."""

import io

from PIL import Image

THUMB_PX = 96  # the longer side
_QUALITY = 80  # JPEG: about 3 kB for a face


def thumbnail(image: Image.Image) -> bytes:
    """An RGB image as a JPEG whose longer side is THUMB_PX at most."""
    scale = THUMB_PX / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    small = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0) if scale < 1 else image
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()
