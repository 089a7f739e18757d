"""The nearest of many 256-bit hashes, by Hamming distance: exactly among few, in the nearest cells among many.

faiss computes distances; its own index of cells takes twice as long, because it looks at one hash after the other, and
its threads wait actively, so that on a busy machine they take ten times as long as one. Threads here are Python's.
"""

from dataclasses import dataclass

import faiss
import numpy as np
from numpy.typing import NDArray

from pipeline.curation.threads import in_threads

BITS = 256
NEAREST = 4  # hashes at most that are found for one
# Above _EXACT hashes, each is compared with those of the _PROBED cells of _CELLS that are nearest to it.
_EXACT, _CELLS, _PROBED = 30_000, 512, 64
_QUERIES, _MEMBERS = 2048, 1024  # distances computed at a time: 8 MB, so that they stay in the processor's cache
_TASKS = 16  # of a search: more than there are cores, so that these end at the same time

Hashes = NDArray[np.uint8]
"""(N, 32)"""


@dataclass(frozen=True)
class Near:
    """M pairs of a query, by its place among the queries, and an indexed hash, by its row."""

    query: NDArray[np.int64]
    row: NDArray[np.int64]
    distance: NDArray[np.int32]  # bits


class HashIndex:
    """An index for some of the `hashes` (N, 32), which begins empty."""

    def __init__(self, hashes: Hashes) -> None:
        self._hashes = np.ascontiguousarray(hashes)
        # Cells around hashes that are spread over all of them: no training, the same on every machine.
        exact = len(hashes) <= _EXACT
        places = np.linspace(0, len(hashes) - 1, _CELLS).astype(np.int64)
        self._centres = self._hashes[[] if exact else places]
        self._cell = np.arange(len(hashes)) // _MEMBERS if exact else self._nearest_cells()
        self._count = len(hashes) // _MEMBERS + 1 if exact else _CELLS
        # Each cell's hashes lie one after the other, with room for all that can come.
        self._start = np.concatenate([[0], np.cumsum(np.bincount(self._cell, minlength=self._count))])
        self._end = self._start[:-1].copy()
        self._codes = np.empty_like(self._hashes)
        self._rows = np.empty(len(hashes), np.int64)

    def add(self, rows: NDArray[np.int64]) -> None:
        """Index the hashes of `rows`, which are in ascending order."""
        order = np.argsort(self._cell[rows], kind="stable")
        rows = rows[order]
        cells, first, counts = np.unique(self._cell[rows], return_index=True, return_counts=True)
        places = np.arange(len(rows)) + np.repeat(self._end[cells] - first, counts)
        self._codes[places], self._rows[places] = self._hashes[rows], rows
        self._end[cells] += counts

    def search(self, queries: Hashes, max_distance: int) -> Near:
        """Up to NEAREST indexed hashes for each query, ordered by query, distance and row."""
        queries = np.ascontiguousarray(queries)
        probed = self._probed(queries)

        def search_cells(cells: NDArray[np.int64]) -> list[Near]:
            found = []
            for cell in cells:
                some = slice(self._start[cell], self._end[cell])
                which = np.flatnonzero(probed[cell])
                if some.start < some.stop and len(which):
                    near = near_hashes(queries[which], self._codes[some], max_distance)
                    found.append(Near(which[near.query], self._rows[some][near.row], near.distance))
            return found

        tasks = in_threads(search_cells, np.array_split(np.arange(self._count), min(_TASKS, self._count)))
        return nearest([near for found in tasks for near in found])

    def _nearest_cells(self) -> NDArray[np.int64]:
        """The cell of each hash."""
        pieces = [self._hashes[start : start + _QUERIES] for start in range(0, len(self._hashes), _QUERIES)]
        return np.concatenate(in_threads(lambda piece: distances(piece, self._centres).argmin(axis=1), pieces))

    def _probed(self, queries: Hashes) -> NDArray[np.bool_]:
        """(cells, Q): which cells to look for each query's neighbours in."""
        if not len(self._centres):
            return np.ones((self._count, len(queries)), np.bool_)

        def near_cells(piece: Hashes) -> NDArray[np.bool_]:
            distance = distances(piece, self._centres).astype(np.int16)  # sorted ten times as fast as int32
            return np.asarray(distance <= np.partition(distance, _PROBED - 1, axis=1)[:, [_PROBED - 1]])

        pieces = [queries[start : start + _QUERIES] for start in range(0, len(queries), _QUERIES)]
        return np.ascontiguousarray(np.concatenate(in_threads(near_cells, pieces)).T)


def distances(queries: Hashes, members: Hashes) -> NDArray[np.int32]:
    """(Q, M) Hamming distances in bits; both contiguous."""
    result = np.empty((len(queries), len(members)), np.int32)
    one, other, out = (faiss.swig_ptr(array) for array in (queries, members, result))
    faiss.hammings(one, other, *result.shape, BITS // 8, out)  # type: ignore[attr-defined]  # faiss's stubs lack it
    return result


def near_hashes(queries: Hashes, members: Hashes, max_distance: int, earlier: bool = False) -> Near:
    """The `members` (M, 32) within `max_distance` of each query, by their places; of many only the nearest ones.

    With `earlier` queries and members are of the same images, and only members of images before a query's are found.
    """
    found = []
    step = _QUERIES // 4 if earlier else _QUERIES  # half of the distances are not needed: skip most of these
    for start in range(0, len(queries), step):
        some = np.ascontiguousarray(queries[start : start + step])
        last = start + len(some) if earlier else len(members)
        for begin in range(0, last, _MEMBERS):
            distance = distances(some, np.ascontiguousarray(members[begin : min(begin + _MEMBERS, last)]))
            if earlier:
                places = np.arange(begin, begin + distance.shape[1])
                distance[np.arange(start, start + len(some))[:, None] <= places] = BITS + 1
            query, member = _few_within(distance, max_distance)
            found.append(Near(query + start, member + begin, distance[query, member]))
    return _joined(found)


def _few_within(distance: NDArray[np.int32], max_distance: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of distances up to the largest; NEAREST of a row at most where these are many in all."""
    near = np.flatnonzero(distance <= max_distance)
    count = distance.shape[1]
    if len(near) <= NEAREST * len(distance):
        return near // count, near % count
    keys = np.partition(distance * np.int32(_MEMBERS) + np.arange(count, dtype=np.int32), NEAREST - 1, axis=1)
    row, place = np.nonzero(keys[:, :NEAREST] // _MEMBERS <= max_distance)
    return row, (keys[row, place] % _MEMBERS).astype(np.int64)


def nearest(parts: list[Near]) -> Near:
    """The NEAREST of each query, of all parts together: ordered by query, distance and row."""
    near = _joined(parts)
    order = np.lexsort((near.row, near.distance, near.query))
    query = near.query[order]
    _, first, counts = np.unique(query, return_index=True, return_counts=True)
    few = order[np.arange(len(query)) - np.repeat(first, counts) < NEAREST]
    return Near(near.query[few], near.row[few], near.distance[few])


def _joined(parts: list[Near]) -> Near:
    """All parts' pairs."""
    if len(parts) == 1:
        return parts[0]
    none = Near(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int32))
    columns = zip(*((part.query, part.row, part.distance) for part in [none, *parts]), strict=True)
    return Near(*(np.concatenate(column) for column in columns))
