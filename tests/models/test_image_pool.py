import numpy as np
import torch

from models.training.image_pool import ImagePool


def pictures(*values):
    return torch.tensor(values, dtype=torch.float32).reshape(-1, 1, 1, 1)


def test_a_pool_of_nothing_gives_the_new_fakes():
    fakes = pictures(1, 2, 3)
    assert torch.equal(ImagePool(0).exchange(fakes, np.random.default_rng(0)), fakes)


def test_until_it_is_full_the_pool_keeps_and_gives_each_new_fake():
    pool = ImagePool(3)
    assert torch.equal(pool.exchange(pictures(1, 2), np.random.default_rng(0)), pictures(1, 2))
    assert [picture.item() for picture in pool.images] == [1, 2]


def test_a_full_pool_gives_older_fakes_about_half_the_time_and_never_grows():
    pool = ImagePool(50)
    rng = np.random.default_rng(0)
    pool.exchange(pictures(*range(50)), rng)
    given = pool.exchange(pictures(*range(50, 1050)), rng).flatten()
    older = (given != torch.arange(50, 1050)).float().mean().item()
    assert 0.45 < older < 0.55
    assert len(pool.images) == 50


def test_an_older_fake_leaves_when_it_is_given():
    pool = ImagePool(5)
    rng = np.random.default_rng(0)
    given = torch.cat([pool.exchange(pictures(value), rng) for value in range(5, 205)]).flatten().tolist()
    older = [now for now, new in zip(given, range(5, 205), strict=True) if now != new]
    assert older
    assert not set(older) & {picture.item() for picture in pool.images}


def test_the_pool_does_not_follow_a_fake_that_changes_later():
    pool = ImagePool(1)
    fakes = pictures(1)
    pool.exchange(fakes, np.random.default_rng(0))
    fakes += 1
    assert pool.images[0].item() == 1
