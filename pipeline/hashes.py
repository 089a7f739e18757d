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
    fine_hash: bytes  # 256 bits: the same with 16 x 16 frequencies
    fine_hash_mirrored: bytes


def hashes(images: list[Image.Image]) -> list[Hashes]:
    """Hash RGB images and their mirror images.

    phash is imagehash's to the bit (a test compares): grey, scaled by Lanczos to four times the hash's side, cosine
    transform, the lowest frequencies against their median. The fine one is scaled by area, which takes a tenth of the
    time. Mirroring an image flips the sign of the odd horizontal frequencies, so that the mirrored hashes need no
    second transform.
    """
    if not images:
        return []
    greys = [image.convert("L") for image in images]
    sizes = [(4 * side, 4 * side) for side in (_SIDE, _FINE_SIDE)]
    coarse = [grey.resize(sizes[0], Image.Resampling.LANCZOS) for grey in greys]
    fine = [cv2.resize(np.asarray(grey), sizes[1], interpolation=cv2.INTER_AREA) for grey in greys]
    return [
        Hashes(int.from_bytes(phash, "big"), int.from_bytes(phash_mirrored, "big"), fine_hash, fine_hash_mirrored)
        for phash, phash_mirrored, fine_hash, fine_hash_mirrored in zip(
            *_both_ways(coarse, _SIDE), *_both_ways(fine, _FINE_SIDE), strict=True
        )
    ]


def _both_ways(greys: list[Any], side: int) -> tuple[list[bytes], list[bytes]]:
    """The bits of the (side, side) lowest cosine frequencies, and of those of the mirror images."""
    frequencies = dct(dct(np.stack(greys), axis=1), axis=2)[:, :side, :side]
    signs = np.where(np.arange(side) % 2, -1.0, 1.0)
    return _bits(frequencies), _bits(frequencies * signs)


def _bits(frequencies: NDArray[np.float64]) -> list[bytes]:
    flat = frequencies.reshape(len(frequencies), -1)
    bits = np.packbits(flat > np.median(flat, axis=1, keepdims=True), axis=1)
    return [row.tobytes() for row in bits]
