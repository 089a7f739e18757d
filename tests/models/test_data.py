import torch

from models.data import image_index, spread, to_pixels, training_batch, whole_batch
from pipeline.packed import read_set


def test_the_order_is_a_pure_function_of_seed_and_position(pack):
    packed = read_set(pack, "masked", "train")
    straight = training_batch(packed, "masked", 3, range(20), 32)
    for start in (0, 7, 13):
        again = training_batch(packed, "masked", 3, range(start, start + 3), 32)
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


def test_the_region_is_cropped_and_mirrored_with_its_image(tmp_path, pack):
    packed = read_set(pack, "masked", "train")
    marked = type(packed)(packed.regions[..., None].repeat(3, axis=3), packed.regions, packed.image_ids)
    images, regions = training_batch(marked, "masked", 0, range(30), 32)
    assert torch.equal((images[:, :1] + 1) / 2, regions)


def test_crops_move_and_about_half_are_mirrored(pack):
    packed = read_set(pack, "masked", "train")
    ramp = packed.images.copy()
    ramp[:] = torch.arange(36, dtype=torch.uint8).numpy()[None, None, :, None]
    images, _ = training_batch(type(packed)(ramp, packed.regions, packed.image_ids), "masked", 0, range(400), 32)
    mirrored = images[:, 0, 0, 0] > images[:, 0, 0, -1]
    assert 0.4 < mirrored.float().mean() < 0.6
    left_edges = to_pixels(images[~mirrored])[:, 0, 0, 0]
    assert set(left_edges.tolist()) == {0, 1, 2, 3, 4}


def test_pixels_survive_the_way_to_tensors_and_back(pack):
    packed = read_set(pack, "masked", "test")
    images, _ = whole_batch(packed, [0, 1], 36)
    assert (to_pixels(images) == packed.images).all()


def test_spread_takes_each_index_once_and_always_the_same():
    assert spread(10, 5) == [0, 2, 4, 6, 8]
    assert spread(3, 5) == [0, 1, 2]
    assert len(set(spread(1234, 1000))) == 1000
