"""Near-duplicates by perceptual hash: exact, all pairs, mirrored copies too, never through chains.

The hash has 256 bits: masked faces look alike, and in the usual 64 bits two different ones come nearer to each other
than a face comes to its own cropped copy. docs/curation.md has the figures.
"""

from dataclasses import dataclass

import faiss
import numpy as np
from numpy.typing import NDArray

BITS = 256
_BLOCK = 1024  # images compared at a time: bounds the memory for the pairs found


@dataclass(frozen=True)
class Duplicates:
    """For each image the one it repeats (-1: none), and in how many bits of 256 they differ (-1: none)."""

    kept: NDArray[np.int64]  # (N,)
    distance: NDArray[np.int64]  # (N,)


@dataclass(frozen=True)
class _Pairs:
    """Pairs of near images: `later` repeats `earlier`."""

    later: NDArray[np.int64]
    earlier: NDArray[np.int64]
    bits: NDArray[np.int64]


def find_duplicates(hashes: NDArray[np.uint8], mirrored: NDArray[np.uint8], max_bits: int) -> Duplicates:
    """Find images within `max_bits` (Hamming) of a better one that is kept.

    `hashes` and `mirrored` (N, 32), pipeline.curation.hashes' fine ones, are of each image and of its mirror image, best image
    first. The first of several is kept, and each of the others points at the nearest kept one. An image that is only
    near a duplicate is kept: nothing is joined through chains. Time grows with images x kept images, memory with the
    images alone.
    """
    count = len(hashes)
    kept = np.full(count, -1, np.int64)
    distance = np.full(count, -1, np.int64)
    index = faiss.IndexBinaryIDMap(faiss.IndexBinaryFlat(BITS))  # of the images kept so far
    for start in range(0, count, _BLOCK):
        block = np.arange(start, min(start + _BLOCK, count))
        near = _joined([_near_kept(index, block, side[block], max_bits) for side in (hashes, mirrored)])
        _point(near, kept, distance)
        rest = block[kept[block] < 0]
        near = _joined([_near_within(rest, side[rest], hashes[rest], max_bits) for side in (hashes, mirrored)])
        _point(near, kept, distance)
        new = block[kept[block] < 0]
        if len(new):
            index.add_with_ids(hashes[new], new)
    return Duplicates(kept, distance)


def _near_kept(index: faiss.IndexBinary, rows: NDArray[np.int64], hashes: NDArray[np.uint8], max_bits: int) -> _Pairs:
    """Pairs of `rows`, which have `hashes`, with the images kept before them."""
    limits, bits, earlier = index.range_search(hashes, max_bits + 1)  # faiss: strictly below
    ends = limits.astype(np.int64)
    return _Pairs(np.repeat(rows, ends[1:] - ends[:-1]), earlier, bits.astype(np.int64))


def _near_within(
    rows: NDArray[np.int64], hashes: NDArray[np.uint8], others: NDArray[np.uint8], max_bits: int
) -> _Pairs:
    """Pairs among `rows`, each with the earlier ones: `hashes` against `others`, both (n, 32)."""
    bits = np.zeros((len(rows), len(rows)), np.int64)
    for word, other in zip(hashes.view(np.uint64).T, others.view(np.uint64).T, strict=True):
        bits += np.bitwise_count(word[:, None] ^ other[None, :])
    later, earlier = np.nonzero(np.tril(bits <= max_bits, -1))
    return _Pairs(rows[later], rows[earlier], bits[later, earlier])


def _point(pairs: _Pairs, kept: NDArray[np.int64], distance: NDArray[np.int64]) -> None:
    """Let each image point at the nearest one that is kept. Best first: none may point at one that itself goes."""
    pointed = -1
    for pair in np.lexsort((pairs.earlier, pairs.bits, pairs.later)):
        later, earlier = pairs.later[pair], pairs.earlier[pair]
        if later != pointed and kept[earlier] < 0:
            kept[later], distance[later], pointed = earlier, pairs.bits[pair], later


def _joined(parts: list[_Pairs]) -> _Pairs:
    columns = zip(*((part.later, part.earlier, part.bits) for part in parts), strict=True)
    return _Pairs(*(np.concatenate(column) for column in columns))
