from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from models.training.data import (
    _resized,
    balanced_by_yaw,
    evenly_spaced,
    image_index,
    mask_tints,
    to_pixels,
    training_batch,
    whole_batch,
)
from pipeline.storage.packed_arrays import PackedSet, read_set

ALL = np.arange(7)  # the masked faces of the pack to train on


def test_the_order_is_a_pure_function_of_seed_and_position(pack):
    packed = read_set(pack, "masked", "train")
    straight = training_batch(packed, ALL, "masked", 3, range(20), 32)
    for start in (0, 7, 13):
        again = training_batch(packed, ALL, "masked", 3, range(start, start + 3), 32)
        for one, other in zip(straight, again, strict=True):
            assert torch.equal(one[start : start + 3], other)


def test_each_epoch_shows_each_image_once_in_an_order_of_its_own():
    epochs = [[image_index(1, "masked", epoch * 30 + place, 30) for place in range(30)] for epoch in range(4)]
    assert all(sorted(epoch) == list(range(30)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4


def test_another_seed_and_another_domain_give_another_order():
    orders = {
        tuple(image_index(seed, domain, place, 30) for place in range(30))
        for seed in (1, 2)
        for domain in ("masked", "unmasked")
    }
    assert len(orders) == 4


def heads(*yaws):
    nothing = np.zeros((len(yaws), 1, 1, 3), np.uint8)
    return PackedSet(nothing, nothing[..., :2], [str(yaw) for yaw in yaws], np.array(yaws, np.float32))


def test_turned_heads_are_shown_as_often_as_the_other_domain_has_them():
    fronts = [0.0] * 9
    assert balanced_by_yaw(heads(*fronts, -25.0), heads(0, 1, 2, 3, 4, 5, 6, 30, -40, 21)).tolist() == [
        *range(10),
        9,
        9,
    ]


def test_turned_heads_that_are_many_already_are_shown_once():
    assert balanced_by_yaw(heads(30, -40, 0), heads(0, 1, 25)).tolist() == [0, 1, 2]


def test_one_turned_head_alone_is_shown_four_times_at_most():
    assert balanced_by_yaw(heads(*[0.0] * 99, 25), heads(30, 40)).tolist() == [*range(100), 99, 99, 99]


def test_heads_that_nobody_measured_count_as_not_turned():
    assert balanced_by_yaw(heads(np.nan, 0), heads(30, 40)).tolist() == [0, 1]


def test_two_thirds_of_the_dyes_change_nothing_and_the_others_reach_almost_black():
    factors = mask_tints(1, range(400))[:, :, 0, 0]
    plain = (factors == 1).all(dim=1)
    assert 0.57 < plain.float().mean() < 0.77
    assert 0.09 < factors.min() < 0.2 and 1.2 < factors.max() < 1.6


def test_a_dye_is_a_pure_function_of_seed_and_position():
    assert mask_tints(1, range(20))[7:9].equal(mask_tints(1, range(7, 9)))
    assert not mask_tints(1, range(20)).equal(mask_tints(2, range(20)))


def test_the_guide_is_cropped_and_mirrored_with_its_image(tmp_path, pack):
    packed = read_set(pack, "masked", "train")
    marked = replace(packed, images=np.concatenate([packed.guides, packed.guides[..., :1]], axis=3))
    images, guides = training_batch(marked, ALL, "masked", 0, range(30), 32)
    assert torch.allclose((images[:, :2] + 1) / 2, guides, atol=1e-6)


@pytest.mark.parametrize("channels", [2, 3])
def test_resizing_is_pillow_s_bilinear_filter_within_a_grey_level(channels):
    picture = np.random.default_rng(0).integers(0, 256, (90, 90, channels), np.uint8)
    picture.setflags(write=False)  # as in a memory-mapped pack
    found = _resized(picture, 36).astype(int)
    for channel in range(channels):
        expected = Image.fromarray(picture[..., channel]).resize((36, 36), Image.Resampling.BILINEAR)
        assert np.abs(found[..., channel] - np.asarray(expected)).max() <= 1


def test_scaled_down_the_region_stays_all_or_nothing_and_the_drawing_does_not(pack):
    _, guides = whole_batch(read_set(pack, "masked", "train"), [0, 1], 16)
    assert set(guides[:, 0].unique().tolist()) == {0, 1}
    assert len(guides[:, 1].unique()) > 2


def test_crops_move_and_about_half_are_mirrored(pack):
    packed = read_set(pack, "masked", "train")
    ramp = packed.images.copy()
    ramp[:] = torch.arange(36, dtype=torch.uint8).numpy()[None, None, :, None]
    ramps = replace(packed, images=ramp)
    images, _ = training_batch(ramps, ALL, "masked", 0, range(400), 32)
    mirrored = images[:, 0, 0, 0] > images[:, 0, 0, -1]
    assert 0.4 < mirrored.float().mean() < 0.6
    left_edges = to_pixels(images[~mirrored])[:, 0, 0, 0]
    assert set(left_edges.tolist()) == {0, 1, 2, 3, 4}


def test_pixels_survive_the_way_to_tensors_and_back(pack):
    packed = read_set(pack, "masked", "test")
    images, _ = whole_batch(packed, [0, 1], 36)
    assert (to_pixels(images) == packed.images).all()


def test_spread_takes_each_index_once_and_always_the_same():
    assert evenly_spaced(10, 5) == [0, 2, 4, 6, 8]
    assert evenly_spaced(3, 5) == [0, 1, 2]
    assert len(set(evenly_spaced(1234, 1000))) == 1000
