"""The pool of earlier fakes."""

import numpy as np
import torch

from models.training.image_pool import ImagePool


def pictures(*values):
    return torch.tensor(values, dtype=torch.float32).reshape(-1, 1, 1, 1)


def test_a_pool_of_size_0_returns_the_new_fakes():
    fakes = pictures(1, 2, 3)
    assert torch.equal(ImagePool(0).exchange(fakes, np.random.default_rng(0)), fakes)


def test_a_pool_that_is_not_full_keeps_and_returns_each_new_fake():
    pool = ImagePool(3)
    assert torch.equal(pool.exchange(pictures(1, 2), np.random.default_rng(0)), pictures(1, 2))
    assert [picture.item() for picture in pool.images] == [1, 2]


def test_a_full_pool_returns_older_fakes_half_the_time_and_does_not_grow():
    pool = ImagePool(50)
    rng = np.random.default_rng(0)
    pool.exchange(pictures(*range(50)), rng)
    shown = pool.exchange(pictures(*range(50, 1050)), rng).flatten()
    older = (shown != torch.arange(50, 1050)).float().mean().item()
    assert 0.45 < older < 0.55
    assert len(pool.images) == 50


def test_a_returned_older_fake_leaves_the_pool():
    pool = ImagePool(5)
    rng = np.random.default_rng(0)
    shown = torch.cat([pool.exchange(pictures(value), rng) for value in range(5, 205)]).flatten().tolist()
    older = [now for now, new in zip(shown, range(5, 205), strict=True) if now != new]
    assert older
    assert not set(older) & {picture.item() for picture in pool.images}


def test_the_pool_keeps_copies():
    pool = ImagePool(1)
    fakes = pictures(1)
    pool.exchange(fakes, np.random.default_rng(0))
    fakes += 1
    assert pool.images[0].item() == 1
