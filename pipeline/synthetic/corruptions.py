"""Faults of real collections: near-duplicates under other names, and files that are not images."""

import cv2
import numpy as np

from pipeline.masks.compositing import to_bytes
from pipeline.masks.records import ByteImage

PNG, JPEG = ".png", ".jpg"

_JPEG_QUALITY = 92
_TEXT = b"A note somebody left where an image should be.\n"


def encode(image: ByteImage, extension: str, quality: int = _JPEG_QUALITY) -> bytes:
    """Encode an image (H, W, 3) as PNG or JPEG; `quality` is that of a JPEG. Raises RuntimeError where OpenCV fails."""
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if extension == JPEG else []
    done, data = cv2.imencode(extension, np.ascontiguousarray(image[..., ::-1]), options)
    if not done:
        raise RuntimeError(f"OpenCV could not encode {extension}")
    return bytes(data.tobytes())


def recompressed(image: ByteImage, quality: int) -> ByteImage:
    """Return the image (H, W, 3) after JPEG."""
    data = np.frombuffer(encode(image, JPEG, quality), np.uint8)
    return np.ascontiguousarray(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)[..., ::-1])


def near_duplicate(image: ByteImage, number: int) -> ByteImage:
    """Return an altered copy, by `number` modulo 4: recompressed, resized, brightened or mirrored."""
    match number % 4:
        case 0:
            return recompressed(image, quality=55)
        case 1:
            return np.asarray(cv2.resize(image, None, fx=1.25, fy=1.25, interpolation=cv2.INTER_CUBIC), np.uint8)
        case 2:
            return to_bytes(image.astype(np.float32) * 1.06 + 4)
        case _:
            return image[:, ::-1]


def unreadable_files(content: bytes) -> tuple[bytes, ...]:
    """Return three files that are not images: the first two fifths of an image file, an empty file, and a text."""
    return content[: len(content) * 2 // 5], b"", _TEXT
