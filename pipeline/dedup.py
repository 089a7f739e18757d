"""Near-duplicates by perceptual hash: exact, all pairs, mirrored copies too, never through chains."""

from dataclasses import dataclass
from itertools import pairwise

import faiss
import numpy as np
from numpy.typing import NDArray

_BLOCK = 4096  # hashes compared with all others at a time: bounds the memory for the pairs found


@dataclass(frozen=True)
class Duplicates:
    """For each image the one it repeats (-1: none), and in how many bits of 64 they differ (-1: none)."""

    kept: NDArray[np.int64]  # (N,)
    distance: NDArray[np.int64]  # (N,)


def find_duplicates(hashes: NDArray[np.uint64], mirrored: NDArray[np.uint64], max_bits: int) -> Duplicates:
    """Find images within `max_bits` (Hamming) of a better one.

    `hashes` and `mirrored` (N,) are of each image and of its mirror image, best first: the first of several is kept,
    and each of the others points at the kept one that is nearest. An image that is only near a duplicate is kept:
    nothing is joined through chains.
    """
    count = len(hashes)
    kept = np.full(count, -1, np.int64)
    distance = np.full(count, -1, np.int64)
    if not count:
        return Duplicates(kept, distance)
    index = faiss.IndexBinaryFlat(64)
    index.add(_bytes(hashes))
    for start in range(0, count, _BLOCK):
        block = slice(start, start + _BLOCK)
        neighbours = (
            _neighbours(index, hashes[block], max_bits),
            _neighbours(index, mirrored[block], max_bits),
        )
        for row in range(start, min(start + _BLOCK, count)):
            best = min(
                (
                    (bits, other)
                    for found in neighbours
                    for bits, other in zip(*found[row - start], strict=True)
                    if other < row and kept[other] < 0
                ),
                default=None,
            )
            if best is not None:
                distance[row], kept[row] = best
    return Duplicates(kept, distance)


def _neighbours(
    index: faiss.IndexBinaryFlat, hashes: NDArray[np.uint64], max_bits: int
) -> list[tuple[NDArray[np.int32], NDArray[np.int64]]]:
    """For each hash the distances and rows of all within `max_bits`."""
    limits, distances, rows = index.range_search(_bytes(hashes), max_bits + 1)  # faiss: strictly below
    return [(distances[a:b], rows[a:b]) for a, b in pairwise(limits)]


def _bytes(hashes: NDArray[np.uint64]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(hashes).astype("<u8").view(np.uint8).reshape(-1, 8)
