"""Method `guided`: the images of an epoch."""

import numpy as np

from models.methods.guided import balance_by_yaw
from pipeline.storage.packed_arrays import PackedSet


def heads(*yaws):
    """Packed faces with these yaws, degrees."""
    pixels, landmarks = np.zeros((len(yaws), 1, 1, 3), np.uint8), np.zeros((len(yaws), 478, 2), np.float32)
    image_ids = [str(yaw) for yaw in yaws]
    return PackedSet(pixels, landmarks, image_ids, [None] * len(yaws), np.array(yaws, np.float32), None)


def test_turned_heads_are_repeated_until_their_share_is_that_of_the_other_domain():
    fronts = [0.0] * 9
    assert balance_by_yaw(heads(*fronts, -25.0), heads(0, 1, 2, 3, 4, 5, 6, 30, -40, 21)).tolist() == [
        *range(10),
        9,
        9,
    ]


def test_turned_heads_are_not_repeated_if_their_share_is_large_already():
    assert balance_by_yaw(heads(30, -40, 0), heads(0, 1, 25)).tolist() == [0, 1, 2]


def test_a_turned_head_is_shown_four_times_at_most():
    assert balance_by_yaw(heads(*[0.0] * 99, 25), heads(30, 40)).tolist() == [*range(100), 99, 99, 99]


def test_heads_without_a_measured_yaw_count_as_not_turned():
    assert balance_by_yaw(heads(np.nan, 0), heads(30, 40)).tolist() == [0, 1]
