"""What is wrong with real collections: near-duplicates under another name, and files that are no images."""

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.synthetic.portraits import Picture

Image = NDArray[np.uint8]

PNG, JPEG = ".png", ".jpg"
_JPEG_QUALITY = 92

NOTE = b"A note somebody left where an image should be.\n"


def encode(image: Image, extension: str, quality: int = _JPEG_QUALITY) -> bytes:
    """(H, W, 3) uint8 RGB -> the file's bytes."""
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if extension == JPEG else []
    done, data = cv2.imencode(extension, np.ascontiguousarray(image[..., ::-1]), options)
    if not done:
        raise RuntimeError(f"OpenCV could not encode {extension}")
    return bytes(data.tobytes())


def copied(image: Image, number: int) -> Image:
    """A near-duplicate: re-compressed, resized, brightened or mirrored, by turns of `number`."""
    match number % 4:
        case 0:
            data = np.frombuffer(encode(image, JPEG, quality=55), np.uint8)
            return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)[..., ::-1]
        case 1:
            return np.asarray(cv2.resize(image, None, fx=1.25, fy=1.25, interpolation=cv2.INTER_CUBIC), np.uint8)
        case 2:
            brighter: Picture = image.astype(np.float32) * 1.06 + 4
            return np.asarray(np.clip(np.rint(brighter), 0, 255), np.uint8)
        case _:
            return image[:, ::-1]


def broken(data: bytes) -> tuple[bytes, ...]:
    """Three files that cannot be read as images: the image `data` cut short, nothing, a text."""
    return data[: len(data) * 2 // 5], b"", NOTE
