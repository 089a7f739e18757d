"""Regions around the lower-face region."""

import torch

from models.face_regions import dilated_region, eroded_region, matte_prior


def square(side):
    """A centred square region of half the side, for images of `side` px."""
    region = torch.zeros(1, 1, side, side)
    region[..., side // 4 : -side // 4, side // 4 : -side // 4] = 1
    return region


def test_dilation_and_erosion_reach_a_sixteenth_of_the_side():
    region = square(64)
    assert dilated_region(region).sum() == (32 + 8) ** 2
    assert eroded_region(region).sum() == (32 - 8) ** 2


def test_a_region_is_not_eroded_from_the_images_edge():
    region = torch.ones(1, 1, 32, 32)
    assert eroded_region(region).equal(region)


def test_the_matte_prior_is_1_inside_0_outside_and_one_half_at_the_edge():
    there = matte_prior(square(64))[0, 0]
    assert there[32, 32] == 1
    assert there[0, 0] == 0
    assert there[32, 16] == 0.5
