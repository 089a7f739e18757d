"""The components by which the page finds similar faces."""

import numpy as np
import pytest

from pipeline.report.similar_faces import COMPONENTS, components

rng = np.random.default_rng(0)


def test_distances_between_faces_are_kept_in_one_unit():
    """Features of few dimensions, turned into many: the components hold all of their variance."""
    features = np.rint(rng.normal(0, 100, (300, 5)) @ rng.normal(0, 1, (5, 100))).astype(np.float32)
    codes, explained = components(features)
    pairs = rng.integers(0, 300, (200, 2))
    before, after = (
        np.linalg.norm(one[pairs[:, 0]] - one[pairs[:, 1]], axis=1) for one in (features, codes.astype(float))
    )
    ratios = after[before > 0] / before[before > 0]
    assert explained == pytest.approx(1, abs=0.001)
    assert ratios.std() / ratios.mean() < 0.02


def test_the_first_components_hold_most_of_the_variance():
    spread = np.linspace(200, 1, 100)
    _, explained = components((rng.normal(0, 1, (500, 100)) * spread).astype(np.float32))
    assert explained == pytest.approx((spread[:COMPONENTS] ** 2).sum() / (spread**2).sum(), abs=0.05)


def test_faces_that_are_all_alike_are_no_division_by_zero():
    codes, explained = components(np.full((4, 30), 7, np.float32))
    assert not codes.any() and explained == 0
