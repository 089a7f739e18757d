import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.curation import near_duplicates
from pipeline.curation.near_duplicates import find_duplicates


def packed(values):
    return np.array([list(value.to_bytes(32, "big")) for value in values], np.uint8).reshape(-1, 32)


def inverted(values):
    """Mirrored hashes that are near none of the hashes."""
    return [value ^ (2**256 - 1) for value in values]


def found(values, mirrored=None, max_distance=4):
    result = find_duplicates(packed(values), packed(inverted(values) if mirrored is None else mirrored), max_distance)
    return result.kept.tolist(), result.distance.tolist()


FAR = (1 << 255) - (1 << 128)


def test_a_copy_points_at_the_better_image_with_its_distance():
    assert found([0b0, FAR, 0b11]) == ([-1, -1, 0], [-1, -1, 2])


def test_a_mirrored_copy_is_found():
    assert found([0b0, FAR], mirrored=[FAR ^ (1 << 200), 0b1]) == ([-1, 0], [-1, 1])


def test_a_copy_of_two_kept_images_points_at_the_nearer():
    assert found([0b0, 0b11111, 0b00111])[0] == [-1, -1, 1]


def test_an_image_near_a_duplicate_only_is_kept():
    # The third is near the second only, which is removed.
    assert found([0b0, 0b1111, 0b1111_1111]) == ([-1, 0, -1], [-1, 4, -1])


def test_an_empty_input_gives_an_empty_result():
    assert found([]) == ([], [])


values = st.lists(st.integers(0, 2**256 - 1) | st.integers(0, 255), max_size=40)


@pytest.mark.parametrize("block", [3, 1024], ids=["over several blocks", "within one block"])
@given(values=values, max_distance=st.integers(0, 16))
def test_each_duplicate_is_near_a_kept_image_and_no_two_kept_images_are_near(block, values, max_distance):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near_duplicates, "_BLOCK", block)
        kept, distance = found(values, max_distance=max_distance)
    survivors = [i for i, k in enumerate(kept) if k < 0]
    for i, k in enumerate(kept):
        if k >= 0:
            apart = (values[i] ^ values[k]).bit_count()
            apart = min(apart, 256 - apart)  # the inverted hashes are the mirrored ones here
            assert kept[k] < 0 and distance[i] == apart <= max_distance
    for n, i in enumerate(survivors):
        assert all((values[i] ^ values[j]).bit_count() > max_distance for j in survivors[:n])
