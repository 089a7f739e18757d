import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.dedup import find_duplicates

FAR = np.uint64(0xFFFF_FFFF_0000_0000)


def found(hashes, mirrored=None, max_bits=4):
    hashes = np.array(hashes, np.uint64)
    other = ~hashes if mirrored is None else np.array(mirrored, np.uint64)
    result = find_duplicates(hashes, other, max_bits)
    return result.kept.tolist(), result.distance.tolist()


def test_a_copy_points_at_the_better_one_with_its_distance():
    assert found([0b0, FAR, 0b11]) == ([-1, -1, 0], [-1, -1, 2])


def test_a_mirrored_copy_is_found():
    assert found([0b0, FAR], mirrored=[~np.uint64(0), 0b1]) == ([-1, 0], [-1, 1])


def test_of_two_kept_ones_the_nearer_is_pointed_at():
    assert found([0b0, 0b11111, 0b00111])[0] == [-1, -1, 1]


def test_nothing_is_joined_through_a_chain():
    # The third is near the second only, and the second goes: the third stays.
    assert found([0b0, 0b1111, 0b1111_1111]) == ([-1, 0, -1], [-1, 4, -1])


def test_no_images_have_no_duplicates():
    assert found([]) == ([], [])


hashes = st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 255), max_size=40)


@given(hashes, st.integers(0, 16))
def test_each_duplicate_is_near_a_kept_one_and_no_two_kept_ones_are_near(values, max_bits):
    kept, distance = found(values, max_bits=max_bits)
    survivors = [i for i, k in enumerate(kept) if k < 0]
    for i, k in enumerate(kept):
        if k >= 0:
            # The complements stand in for mirrored hashes here.
            apart = min((values[i] ^ values[k]).bit_count(), 64 - (values[i] ^ values[k]).bit_count())
            assert kept[k] < 0 and distance[i] == apart <= max_bits
    for n, i in enumerate(survivors):
        assert all((values[i] ^ values[j]).bit_count() > max_bits for j in survivors[:n])
