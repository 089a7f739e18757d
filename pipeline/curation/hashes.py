"""Perceptual hashes (pHash): 64 bits as imagehash computes them, and 256 bits, of pictures and their mirror images."""

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.fftpack import dct

_SIDE, _FINE_SIDE = 8, 16  # frequencies each way: 64 and 256 bits
FINE_PX = 4 * _FINE_SIDE  # px, side of the scaled image that a 256-bit hash is computed from


def image_hash(image: Image.Image) -> int:
    """imagehash.phash of an image as one number of 64 bits, the first bit the highest."""
    return int.from_bytes(np.packbits(imagehash.phash(image, hash_size=_SIDE).hash).tobytes(), "big")


def fine_hashes(scaled: NDArray[np.uint8]) -> tuple[list[bytes], list[bytes]]:
    """The 256-bit hashes of grey images (N, 64, 64), and those of their mirror images.

    Each is imagehash.phash(image, hash_size=16), computed for the whole array at once; a test compares both. Mirroring
    changes the sign of the odd horizontal frequencies, so that the mirrored hashes need no second transform. Two calls
    of imagehash for each image take 3.2 times as long (0.13 instead of 0.04 ms).
    """
    frequencies = dct(dct(scaled, axis=1), axis=2)[:, :_FINE_SIDE, :_FINE_SIDE]
    signs = np.where(np.arange(_FINE_SIDE) % 2, -1.0, 1.0)
    return _bits(frequencies), _bits(frequencies * signs)


def _bits(frequencies: NDArray[np.float64]) -> list[bytes]:
    """Frequencies (N, H, W) -> the bits of each image, row by row: 1 where a frequency is above the image's median."""
    flat = frequencies.reshape(len(frequencies), -1)
    bits = np.packbits(flat > np.median(flat, axis=1, keepdims=True), axis=1)
    return [row.tobytes() for row in bits]
