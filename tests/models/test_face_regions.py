"""Regions around the lower-face region."""

import torch

from models.face_regions import dilated_region, eroded_region, matte_prior, overhang_region, required_region


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


def test_the_required_region_excludes_more_above_than_at_sides_and_chin():
    found = required_region(square(64))[0, 0]
    assert found[20:46, 18:46].all()
    assert found.sum() == 26 * 28


def test_the_matte_prior_is_1_inside_0_outside_and_one_half_at_the_edge():
    there = matte_prior(square(64))[0, 0]
    assert there[32, 32] == 1
    assert there[0, 0] == 0
    assert there[32, 16] == 0.5


def test_the_overhang_region_reaches_below_the_region_and_not_above():
    found = overhang_region(square(64))[0, 0]
    assert found[48:52, 16:48].all()
    assert not found[:16].any()
    assert (found[square(64)[0, 0] == 1] == 1).all()
