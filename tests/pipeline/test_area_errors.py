"""Areas of masks with the errors of areas that were found in photos, and images scaled to a side."""

import cv2
import numpy as np
import pytest

from pipeline.masks.warp import scaled
from pipeline.unmasking.area_errors import with_errors

SIDE = 128
AREA = np.zeros((SIDE, SIDE), np.uint8)
AREA[60:110, 30:100] = 255


def several(count=40):
    return [with_errors(AREA, np.random.default_rng(seed)) for seed in range(count)]


def test_errors_are_within_a_fiftieth_of_the_side_at_the_areas_edge():
    reach = np.ones((2 * round(SIDE / 50) + 1,) * 2, np.uint8)
    inner, outer = cv2.erode(AREA, reach) > 0, cv2.dilate(AREA, reach) > 0
    for found in several():
        assert found[inner].all() and not found[~outer].any()


def test_some_areas_become_larger_and_some_smaller():
    edges = [found[:, 64].sum() for found in several()]  # across the middle, far from the corners
    assert min(edges) < 50 < max(edges)


def test_an_empty_area_stays_empty():
    assert not any(with_errors(np.zeros_like(AREA), np.random.default_rng(seed)).any() for seed in range(10))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_smaller_image_has_the_means_of_its_pixels(dtype):
    image = np.arange(64, dtype=dtype).reshape(4, 4, 4)
    found = scaled(image, 2)
    assert found.dtype == dtype
    assert np.array_equal(found, image.reshape(2, 2, 2, 2, 4).mean(axis=(1, 3)).astype(dtype))


def test_a_larger_image_has_values_between_those_of_its_pixels_and_an_equal_one_is_equal():
    image = np.array([[0, 255], [255, 0]], np.uint8)
    assert np.array_equal(scaled(image, 2), image)
    larger = scaled(image, 8)
    assert larger.shape == (8, 8) and {0, 255} < set(larger.ravel().tolist())
