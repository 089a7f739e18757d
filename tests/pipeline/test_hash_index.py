"""The nearest hashes are found: all of them among few, and among many those of the cells near them."""

import numpy as np
import pytest

from pipeline.curation import hash_index
from pipeline.curation.hash_index import NEAREST, HashIndex, near_hashes


def hashes(count, seed=0):
    """Random hashes, of which each second one is a copy of the one before that differs in 0 to 60 bits."""
    random = np.random.default_rng(seed)
    found = random.integers(0, 256, (count, 32), np.uint8)
    for row in range(1, count, 2):
        bits = np.zeros(256, np.uint8)
        bits[random.choice(256, random.integers(0, 61), replace=False)] = 1
        found[row] = found[row - 1] ^ np.packbits(bits)
    return found


def index(values, rows=None):
    built = HashIndex(values)
    built.add(np.arange(len(values)) if rows is None else np.asarray(rows))
    return built


def all_distances(one, other):
    return np.bitwise_count(one[:, None] ^ other[None]).sum(axis=2)


def triples(near):
    return list(zip(near.query.tolist(), near.row.tolist(), near.distance.tolist(), strict=True))


def expected(queries, values, max_distance):
    """By comparing all: the nearest ones, and of equally near ones the first."""
    found = []
    for query, distance in enumerate(all_distances(queries, values)):
        order = np.argsort(distance, kind="stable")[:NEAREST]
        found += [(query, int(row), int(distance[row])) for row in order if distance[row] <= max_distance]
    return found


@pytest.fixture
def small_pieces(monkeypatch):
    """Queries and members come in several pieces, as among many hashes."""
    monkeypatch.setattr(hash_index, "_QUERIES", 16)
    monkeypatch.setattr(hash_index, "_MEMBERS", 8)


@pytest.mark.parametrize("max_distance", [0, 60, 120, 256])
def test_among_few_hashes_exactly_the_nearest_are_found(small_pieces, max_distance):
    values, queries = hashes(50), hashes(40, seed=1)
    queries[:20] = values[10:30]
    assert triples(index(values).search(queries, max_distance)) == expected(queries, values, max_distance)


def test_of_many_equal_hashes_the_first_are_found(small_pieces):
    values = np.zeros((40, 32), np.uint8)
    assert triples(index(values).search(values[:1], 0)) == [(0, row, 0) for row in range(NEAREST)]


def test_only_added_hashes_are_found():
    values = hashes(20)
    built = index(values, [0, 4])
    assert built.search(values, 0).row.tolist() == [0, 4]
    built.add(np.array([2, 6]))
    assert built.search(values, 0).row.tolist() == [0, 2, 4, 6]


@pytest.fixture
def few_cells(monkeypatch):
    monkeypatch.setattr(hash_index, "_EXACT", 50)
    monkeypatch.setattr(hash_index, "_CELLS", 16)
    monkeypatch.setattr(hash_index, "_PROBED", 4)


def test_in_cells_equal_hashes_are_always_found(few_cells):
    values = hashes(200)[::2]
    assert triples(index(values).search(values, 0)) == [(row, row, 0) for row in range(100)]


def test_in_cells_most_of_the_near_hashes_are_found(few_cells):
    values = hashes(400)
    originals = np.arange(0, 400, 2)
    found = index(values, originals).search(values[1::2], 60)
    assert np.mean(np.isin(np.arange(200), found.query)) > 0.5
    assert (originals[found.query] == found.row).all()


def test_in_cells_only_a_part_of_the_hashes_is_compared(few_cells, monkeypatch):
    compared = []
    distances = hash_index.distances

    def counted(queries, members):
        compared.append(len(queries) * len(members))
        return distances(queries, members)

    values = hashes(400)
    built = index(values)
    monkeypatch.setattr(hash_index, "distances", counted)
    built.search(values, 60)
    assert sum(compared) < 0.5 * 400 * 400 + 400 * 16


def test_with_earlier_a_hash_finds_none_after_it(small_pieces):
    values = hashes(60)
    near = near_hashes(values, values, 60, earlier=True)
    distance = all_distances(values, values)
    pairs = [(query, row) for query in range(60) for row in range(query) if distance[query, row] <= 60]
    assert sorted(zip(near.query.tolist(), near.row.tolist(), strict=True)) == pairs


def test_an_empty_index_finds_nothing():
    assert len(HashIndex(hashes(10)).search(hashes(10), 256).query) == 0
    assert len(HashIndex(hashes(0)).search(hashes(10), 256).query) == 0
