"""Near-duplicates by perceptual hash: exact, over all pairs, mirrored copies too, and never through chains.

The hashes have 256 bits. With the usual 64, two different masked faces come nearer to each other than a face to its own
cropped copy; docs/curation.md has the figures.
"""

from dataclasses import dataclass

import faiss
import numpy as np
from numpy.typing import NDArray

BITS = 256
_BLOCK = 1024  # images compared at a time, which bounds the memory for the pairs found


@dataclass(frozen=True)
class Duplicates:
    """For each image the kept image that it duplicates, and the Hamming distance of their 256-bit hashes; -1: none."""

    kept: NDArray[np.int64]  # (N,)
    distance: NDArray[np.int64]  # (N,)


@dataclass(frozen=True)
class _Pairs:
    """Pairs of images within the distance, as indices: `earlier` is the better image of each."""

    later: NDArray[np.int64]
    earlier: NDArray[np.int64]
    distance: NDArray[np.int64]


def find_duplicates(hashes: NDArray[np.uint8], mirrored: NDArray[np.uint8], max_distance: int) -> Duplicates:
    """Find the images whose hash is within `max_distance` (Hamming) of the hash of a better image that is kept.

    `hashes` and `mirrored`, (N, 32), are the fine hashes (hashes.py) of each image and of its mirror image, best image
    first. An image is kept unless it is near a kept one, and each of the others points at the nearest kept one. So an
    image that is near a duplicate only is kept: there are no chains. Time grows with images x kept images, memory with
    the images.
    """
    count, sides = len(hashes), (hashes, mirrored)
    kept = np.full(count, -1, np.int64)
    distance = np.full(count, -1, np.int64)
    index = faiss.IndexBinaryIDMap(faiss.IndexBinaryFlat(BITS))  # the hashes of the images kept so far
    for start in range(0, count, _BLOCK):
        block = np.arange(start, min(start + _BLOCK, count))
        pairs = _concatenate([_pairs_with_kept(index, block, side[block], max_distance) for side in sides])
        _point_at_nearest(pairs, kept, distance)
        rest = block[kept[block] < 0]
        pairs = _concatenate([_pairs_within(rest, side[rest], hashes[rest], max_distance) for side in sides])
        _point_at_nearest(pairs, kept, distance)
        new = block[kept[block] < 0]
        if len(new):
            index.add_with_ids(hashes[new], new)
    return Duplicates(kept, distance)


def _pairs_with_kept(
    index: faiss.IndexBinary, rows: NDArray[np.int64], hashes: NDArray[np.uint8], max_distance: int
) -> _Pairs:
    """Pairs of the images `rows`, whose hashes are given, with images in `index`."""
    limits, distance, earlier = index.range_search(hashes, max_distance + 1)  # faiss: strictly below
    ends = limits.astype(np.int64)
    return _Pairs(np.repeat(rows, ends[1:] - ends[:-1]), earlier, distance.astype(np.int64))


def _pairs_within(
    rows: NDArray[np.int64], hashes: NDArray[np.uint8], others: NDArray[np.uint8], max_distance: int
) -> _Pairs:
    """Pairs of each of the images `rows` with earlier ones: its hash in `hashes`, theirs in `others`, both (n, 32)."""
    distance = np.zeros((len(rows), len(rows)), np.int64)
    for word, other in zip(hashes.view(np.uint64).T, others.view(np.uint64).T, strict=True):
        distance += np.bitwise_count(word[:, None] ^ other[None, :])
    later, earlier = np.nonzero(np.tril(distance <= max_distance, -1))
    return _Pairs(rows[later], rows[earlier], distance[later, earlier])


def _point_at_nearest(pairs: _Pairs, kept: NDArray[np.int64], distance: NDArray[np.int64]) -> None:
    """Write into `kept` and `distance`, for each later image of `pairs`, the nearest earlier one that is itself kept.

    Pairs are taken in the order of their later image, so that it is settled whether its earlier ones are kept.
    """
    done = -1
    for pair in np.lexsort((pairs.earlier, pairs.distance, pairs.later)):
        later, earlier = pairs.later[pair], pairs.earlier[pair]
        if later != done and kept[earlier] < 0:
            kept[later], distance[later], done = earlier, pairs.distance[pair], later


def _concatenate(parts: list[_Pairs]) -> _Pairs:
    columns = zip(*((part.later, part.earlier, part.distance) for part in parts), strict=True)
    return _Pairs(*(np.concatenate(column) for column in columns))
