"""Perceptual hashes (pHash): a coarse one to find near-duplicates by, a fine one to be sure, both mirrored too."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.fftpack import dct

_SIDE, _FINE_SIDE = 8, 16  # frequencies each way: 64 and 256 bits


@dataclass(frozen=True)
class Hashes:
    phash: int  # 64 bits, the first bit the highest: imagehash.phash(image)
    phash_mirrored: int  # 64 bits, of the mirrored image
    fine: bytes  # 256 bits: the same with 16 x 16 frequencies
    fine_mirrored: bytes


def hashes(image: Image.Image) -> Hashes:
    """Hash an RGB image and its mirror image.

    phash is imagehash's to the bit (a test compares): grey, scaled by Lanczos to four times the hash's side, cosine
    transform, the lowest frequencies against their median. The fine one is scaled by area, which takes a tenth of the
    time. Mirroring an image flips the sign of the odd horizontal frequencies, so that the mirrored hashes need no
    second transform.
    """
    grey = image.convert("L")
    small = np.asarray(grey.resize((4 * _SIDE, 4 * _SIDE), Image.Resampling.LANCZOS))
    size = (4 * _FINE_SIDE, 4 * _FINE_SIDE)
    coarse = _low_frequencies(small, _SIDE)
    fine = _low_frequencies(cv2.resize(np.asarray(grey), size, interpolation=cv2.INTER_AREA), _FINE_SIDE)
    return Hashes(
        phash=int.from_bytes(_bits(coarse), "big"),
        phash_mirrored=int.from_bytes(_bits(_mirrored(coarse)), "big"),
        fine=_bits(fine),
        fine_mirrored=_bits(_mirrored(fine)),
    )


def _low_frequencies(pixels: NDArray[Any], side: int) -> NDArray[np.float64]:
    """(side, side) lowest cosine frequencies, vertical by horizontal."""
    frequencies = dct(dct(pixels, axis=0), axis=1)
    return np.asarray(frequencies[:side, :side], np.float64)


def _mirrored(frequencies: NDArray[np.float64]) -> NDArray[np.float64]:
    signs = np.where(np.arange(frequencies.shape[1]) % 2, -1.0, 1.0)
    return frequencies * signs


def _bits(frequencies: NDArray[np.float64]) -> bytes:
    return np.packbits(frequencies > np.median(frequencies)).tobytes()
