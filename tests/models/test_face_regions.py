import torch

from models.face_regions import dilated_region, eroded_region, matte_prior, overhang_region, required_region


def square(side):
    """A region of half the side in the middle, for pictures of `side` px."""
    region = torch.zeros(1, 1, side, side)
    region[..., side // 4 : -side // 4, side // 4 : -side // 4] = 1
    return region


def test_a_region_grows_and_shrinks_by_a_sixteenth_of_the_side():
    region = square(64)
    assert dilated_region(region).sum() == (32 + 8) ** 2
    assert eroded_region(region).sum() == (32 - 8) ** 2


def test_a_region_at_the_pictures_edge_is_not_shrunk_from_there():
    region = torch.ones(1, 1, 32, 32)
    assert eroded_region(region).equal(region)


def test_a_mask_must_reach_nearer_to_the_regions_sides_and_chin_than_to_its_upper_edge():
    found = required_region(square(64))[0, 0]
    assert found[20:46, 18:46].all()
    assert found.sum() == 26 * 28


def test_expected_is_sure_in_the_core_and_far_outside_and_unsure_at_the_edge():
    there = matte_prior(square(64))[0, 0]
    assert there[32, 32] == 1
    assert there[0, 0] == 0
    assert there[32, 16] == 0.5


def test_a_mask_hangs_over_the_regions_lower_edge_and_not_over_the_eyes():
    found = overhang_region(square(64))[0, 0]
    assert found[48:52, 16:48].all()
    assert not found[:16].any()
    assert (found[square(64)[0, 0] == 1] == 1).all()
