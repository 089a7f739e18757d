"""Training batches: order, crops, mirroring and resizing."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from models.training.data import (
    TrainingSet,
    _resized,
    evenly_spaced,
    image_index,
    to_pixels,
    training_batch,
    whole_batch,
)
from pipeline.storage.packed_arrays import read_set


def masked_set(packed):
    """All masked faces of the pack, each once in an epoch."""
    return TrainingSet("masked", packed, np.arange(7))


def test_batches_are_a_pure_function_of_seed_and_position(pack):
    packed = read_set(pack, "masked", "train")
    straight = training_batch(masked_set(packed), 3, range(20), 32)
    for start in (0, 7, 13):
        again = training_batch(masked_set(packed), 3, range(start, start + 3), 32)
        for one, other in zip(straight, again, strict=True):
            assert torch.equal(one[start : start + 3], other)


def test_each_epoch_shows_each_image_once_in_a_new_order():
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


def test_the_guide_is_cropped_and_mirrored_with_its_image(tmp_path, pack):
    packed = read_set(pack, "masked", "train")
    marked = replace(packed, images=np.concatenate([packed.conditioning, packed.conditioning[..., :1]], axis=3))
    images, conditioning = training_batch(masked_set(marked), 0, range(30), 32)
    assert torch.allclose((images[:, :2] + 1) / 2, conditioning, atol=1e-6)


@pytest.mark.parametrize("channels", [2, 3])
def test_resizing_is_pillow_s_bilinear_filter_within_a_grey_level(channels):
    picture = np.random.default_rng(0).integers(0, 256, (90, 90, channels), np.uint8)
    picture.setflags(write=False)  # as in a memory-mapped pack
    found = _resized(picture, 36).astype(int)
    for channel in range(channels):
        expected = Image.fromarray(picture[..., channel]).resize((36, 36), Image.Resampling.BILINEAR)
        assert np.abs(found[..., channel] - np.asarray(expected)).max() <= 1


def test_a_resized_region_is_0_or_1_and_a_resized_sketch_is_not(pack):
    _, conditioning = whole_batch(read_set(pack, "masked", "train"), [0, 1], 16)
    assert set(conditioning[:, 0].unique().tolist()) == {0, 1}
    assert len(conditioning[:, 1].unique()) > 2


def test_crops_move_and_about_half_are_mirrored(pack):
    packed = read_set(pack, "masked", "train")
    ramp = packed.images.copy()
    ramp[:] = torch.arange(36, dtype=torch.uint8).numpy()[None, None, :, None]
    ramps = replace(packed, images=ramp)
    images, _ = training_batch(masked_set(ramps), 0, range(400), 32)
    mirrored = images[:, 0, 0, 0] > images[:, 0, 0, -1]
    assert 0.4 < mirrored.float().mean() < 0.6
    left_edges = to_pixels(images[~mirrored])[:, 0, 0, 0]
    assert set(left_edges.tolist()) == {0, 1, 2, 3, 4}


def test_pixels_to_tensors_and_back_are_unchanged(pack):
    packed = read_set(pack, "masked", "test")
    images, _ = whole_batch(packed, [0, 1], 36)
    assert (to_pixels(images) == packed.images).all()


def test_evenly_spaced_indices_are_distinct():
    assert evenly_spaced(10, 5) == [0, 2, 4, 6, 8]
    assert evenly_spaced(3, 5) == [0, 1, 2]
    assert len(set(evenly_spaced(1234, 1000))) == 1000
