"""KID: the estimator, and its values for images."""

import numpy as np
import pytest
import torch

from models.evaluation import kid as module
from models.evaluation.features import feature_network
from models.evaluation.kid import FEATURES, kid, squared_mmd

needs_features = pytest.mark.skipif(feature_network(FEATURES) is None, reason="the extra `evaluation` is not installed")


def images(count, seed, shade=0):
    rng = np.random.default_rng(seed)
    base = rng.integers(0, 128, (count, 8, 8, 3), dtype=np.uint8)
    return (base + shade).astype(np.uint8)


def test_the_estimator_equals_the_sums_over_pairs_in_the_paper():
    rng = np.random.default_rng(0)
    some, others = rng.normal(size=(3, 5)), rng.normal(size=(4, 5))

    def kernel(x, y):
        return (x @ y / 5 + 1) ** 3

    expected = (
        sum(kernel(some[i], some[j]) for i in range(3) for j in range(3) if i != j) / 6
        + sum(kernel(others[i], others[j]) for i in range(4) for j in range(4) if i != j) / 12
        - 2 * sum(kernel(x, y) for x in some for y in others) / 12
    )
    assert squared_mmd(torch.from_numpy(some), torch.from_numpy(others)) == pytest.approx(expected)


def test_two_samples_of_one_distribution_have_a_value_near_zero():
    features = torch.from_numpy(np.random.default_rng(0).normal(size=(400, 16)))
    assert abs(squared_mmd(features[:200], features[200:])) < 0.02


@needs_features
def test_images_of_another_distribution_have_a_higher_kid_than_of_the_same():
    near = kid(images(12, 0), images(12, 1))
    far = kid(images(12, 0), images(12, 1, shade=120))
    assert near is not None
    assert far is not None
    assert far > near + 0.01


@needs_features
def test_kid_does_not_depend_on_the_order_of_images():
    some, others = images(5, 0), images(6, 1)
    assert kid(some, others) == pytest.approx(kid(some[::-1].copy(), others), abs=1e-6)


def test_without_the_extra_evaluation_kid_is_none(monkeypatch):
    monkeypatch.setattr(module, "feature_network", lambda _name: None)
    assert kid(images(2, 0), images(2, 1)) is None
