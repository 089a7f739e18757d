"""Near-duplicates: copies of one photo among many, mirrored, cropped, rotated, framed or recompressed ones too.

Perceptual hashes of 256 bits, of the photo and of its face, find candidates; the pixels of the face patches decide
(similarity.py). A hash alone would join different people at the data sets' real size; docs/curation.md has the figures.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.curation.face_patches import ABOVE_MASK_ROWS, OUTSIDE
from pipeline.curation.hash_index import BITS, HashIndex, Near, near_hashes, nearest
from pipeline.curation.rules import DedupParams
from pipeline.curation.similarity import Pairs, PreparedPatches, prepare, similarities

_BLOCK = 4096  # images that the index is searched for at a time: the more, the less time
_PART = 256  # images of a block whose pixels are compared at a time: the fewer, the more copies meet a cluster's first


@dataclass(frozen=True)
class ImageHashes:
    """256-bit hashes (N, 32) of N images, and of their mirror images."""

    hashes: NDArray[np.uint8]
    mirrored: NDArray[np.uint8]


@dataclass(frozen=True)
class Fingerprints:
    """What N images are compared by; fingerprints.py computes it."""

    photo: ImageHashes
    face: ImageHashes
    patches: NDArray[np.uint8]  # (N, PATCH_PX, PATCH_PX)
    frames: NDArray[np.float32]  # (N, 2, 3)

    def __len__(self) -> int:
        return len(self.patches)


@dataclass(frozen=True)
class Duplicates:
    """For each image the first image of its cluster and their similarity; -1 and NaN: it is the first one itself."""

    first: NDArray[np.int64]  # (N,)
    similarity: NDArray[np.float32]  # (N,)


class _ImageIndex:
    """The images that others are compared with, by one kind of hash."""

    def __init__(self, images: ImageHashes, one_photo: bool) -> None:
        self._images = images
        self._one_photo = one_photo  # of the pairs that are found by it
        self._index = HashIndex(images.hashes)

    def add(self, rows: NDArray[np.int64]) -> None:
        self._index.add(rows)

    def search(self, rows: NDArray[np.int64], max_distance: int) -> Near:
        """The nearest images in the index; image rows[i] is query 2 i, and 2 i + 1 mirrored."""
        return self._index.search(self._sides(rows), max_distance)

    def pairs(self, rows: NDArray[np.int64], near: Near) -> Pairs:
        """Pairs of the images `rows` with what was found for them."""
        return self._pairs(rows[near.query // 2], near.row)

    def nearest(self, rows: NDArray[np.int64], near: Near, others: NDArray[np.int64], max_distance: int) -> Pairs:
        """Pairs of the images `rows` with the nearest of the images in the index, which `near` are, and of `others`."""
        found = near_hashes(self._sides(rows), self._images.hashes[others], max_distance)
        return self.pairs(rows, nearest([near, Near(found.query, others[found.row], found.distance)]))

    def nearest_within(self, rows: NDArray[np.int64], max_distance: int) -> Pairs:
        """Pairs of the images `rows` with the nearest earlier ones of them, mirrored or not."""
        hashes = self._images.hashes[rows]
        found = []
        for sides in (hashes, self._images.mirrored[rows]):
            near = nearest([near_hashes(sides, hashes, max_distance, earlier=True)])
            found.append(self._pairs(rows[near.query], rows[near.row]))
        return _merged(found)

    def _sides(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        return np.stack([self._images.hashes[rows], self._images.mirrored[rows]], axis=1).reshape(-1, BITS // 8)

    def _pairs(self, first: NDArray[np.int64], second: NDArray[np.int64]) -> Pairs:
        return Pairs(first, second, np.full(len(first), self._one_photo))


def find_duplicates(prints: Fingerprints, limits: DedupParams) -> Duplicates:
    """Find clusters of copies, each around its first image, in the order of the images.

    An image joins the cluster whose first image it is most similar to, and is the first of a new one if it is similar
    to none. So an image that is only similar to a later member of a cluster is not in it: there are no chains. Time
    grows with images x clusters, memory with the images.
    """
    first = np.full(len(prints), -1, np.int64)
    similarity = np.full(len(prints), np.nan, np.float32)
    indexes = _image_indexes(prints)
    prepared = prepare(prints.patches, prints.frames)
    for start in range(0, len(prints), _BLOCK):
        block = np.arange(start, min(start + _BLOCK, len(prints)))
        found = [index.search(block, limits.max_hash_distance) for index in indexes]
        new = block[:0]  # first images that are not in the indexes yet
        for begin in range(0, len(block), _PART):
            part = block[begin : begin + _PART]
            near = [_of_queries(near, 2 * begin, 2 * (begin + _PART)) for near in found]
            candidates = [
                index.nearest(part, of_index, new, limits.max_hash_distance)
                for index, of_index in zip(indexes, near, strict=True)
            ]
            _join_clusters(prepared, _merged(candidates), limits.min_similarity, first, similarity)
            rest = part[first[part] < 0]
            candidates = [index.nearest_within(rest, limits.max_hash_distance) for index in indexes]
            _join_clusters(prepared, _merged(candidates), limits.min_similarity, first, similarity)
            new = np.concatenate([new, part[first[part] < 0]])
        for index in indexes:
            index.add(new)
    return Duplicates(first, similarity)


def find_pairs(some: Fingerprints, others: Fingerprints, limits: DedupParams) -> NDArray[np.int64]:
    """(M, 2) pairs of an image of `some` and one of `others` that show one photo above a mask."""
    both = _above_mask(some, others)
    indexes = _image_indexes(both)
    prepared = prepare(both.patches, both.frames)
    for index in indexes:
        index.add(np.arange(len(some)))
    pairs = [np.empty((0, 2), np.int64)]
    for start in range(len(some), len(both), _BLOCK):
        block = np.arange(start, min(start + _BLOCK, len(both)))
        found = [index.pairs(block, index.search(block, limits.max_hash_distance)) for index in indexes]
        candidates = _merged(found)
        alike = similarities(prepared, candidates) >= limits.min_similarity
        pairs.append(np.column_stack([candidates.second[alike], candidates.first[alike] - len(some)]))
    return np.concatenate(pairs)


def _above_mask(some: Fingerprints, others: Fingerprints) -> Fingerprints:
    """Both, one after the other, with patches that show only what is above a mask."""
    patches = np.concatenate([some.patches, others.patches])
    patches[:, ABOVE_MASK_ROWS:] = OUTSIDE
    photo, face = (
        ImageHashes(np.concatenate([a.hashes, b.hashes]), np.concatenate([a.mirrored, b.mirrored]))
        for a, b in ((some.photo, others.photo), (some.face, others.face))
    )
    return Fingerprints(photo, face, patches, np.concatenate([some.frames, others.frames]))


def _of_queries(near: Near, begin: int, end: int) -> Near:
    """What was found for the queries from `begin` on and before `end`, which are counted from 0 then."""
    some = slice(*np.searchsorted(near.query, [begin, end]))
    return Near(near.query[some] - begin, near.row[some], near.distance[some])


def _image_indexes(prints: Fingerprints) -> list[_ImageIndex]:
    return [_ImageIndex(prints.photo, one_photo=True), _ImageIndex(prints.face, one_photo=False)]


def _merged(parts: list[Pairs]) -> Pairs:
    """The pairs of all parts, each once, in the order of their images."""
    first, second, one_photo = (
        np.concatenate(column)
        for column in zip(*((part.first, part.second, part.one_photo) for part in parts), strict=True)
    )
    if not len(first):
        return Pairs(first, second, one_photo)
    images = int(max(first.max(), second.max())) + 1
    pairs, places = np.unique(first * images + second, return_inverse=True)
    any_one_photo = np.zeros(len(pairs), np.bool_)
    any_one_photo[places[one_photo]] = True
    return Pairs(pairs // images, pairs % images, any_one_photo)


def _join_clusters(
    prepared: PreparedPatches,
    candidates: Pairs,
    min_similarity: float,
    first: NDArray[np.int64],
    similarity: NDArray[np.float32],
) -> None:
    """Let each image join the cluster whose first image it is most similar to; `candidates` pair it with earlier ones.

    An image that is similar to another member of a cluster is compared with the cluster's first image too.
    """
    alike = similarities(prepared, candidates)
    by_photo = np.column_stack([candidates.first, candidates.second])[candidates.one_photo]
    known = dict(zip(map(tuple, by_photo.tolist()), alike[candidates.one_photo].tolist(), strict=True))
    good = np.flatnonzero(alike >= min_similarity)
    for pair in good[np.lexsort((candidates.second[good], -alike[good], candidates.first[good]))]:
        image, other, value = int(candidates.first[pair]), int(candidates.second[pair]), float(alike[pair])
        if first[image] >= 0:
            continue
        if first[other] >= 0:
            other = int(first[other])
            pair_with_first = Pairs(np.array([image]), np.array([other]), np.array([True]))
            value = known[image, other] if (image, other) in known else similarities(prepared, pair_with_first)[0]
        if value >= min_similarity:
            first[image], similarity[image] = other, value
