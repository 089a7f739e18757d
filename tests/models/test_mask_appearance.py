import torch

from models.face_regions import dilated_region
from models.mask_appearance import covered_area, cycle_condition, estimate_mask
from tests.models.test_face_regions import square


def masked_face():
    """A red image with a mask of one colour in the region `square`, which hangs over its lower edge."""
    image = torch.tensor([1.0, -1, -1]).view(1, 3, 1, 1).repeat(1, 1, 64, 64)
    image[..., 20:52, 16:48] = torch.tensor([-1.0, 0.0, 0.5]).view(3, 1, 1)
    return image


def test_the_estimated_mask_includes_the_overhang_and_excludes_the_bare_part_of_the_region():
    found = estimate_mask(masked_face(), square(64))[0, 0]
    assert found[22:50, 18:46].all()
    assert not found[:18].any() and not found[54:].any()


def test_the_appearance_code_contains_the_masks_colour_and_outline():
    found = cycle_condition("mask", masked_face(), square(64))[0]
    assert torch.allclose(found[:, 34, 32], torch.tensor([0.0, 0.5, 0.75, 1.0]), atol=1e-5)
    assert 0.3 < found[3, 20, 32] < 0.9
    assert not found[:, :8].any() and not found[..., :8].any()


def test_the_appearance_code_contains_no_folds():
    image = torch.zeros(1, 3, 64, 64)
    image[..., ::2, :] = 0.2
    found = cycle_condition("mask", image, square(64))[0, 0, 28:36, 28:36]
    assert found.max() - found.min() < 0.02


def test_the_appearance_code_of_an_empty_region_is_zero():
    assert not cycle_condition("mask", torch.ones(1, 3, 64, 64), torch.zeros(1, 1, 64, 64)).any()


def test_the_covered_area_includes_the_masks_edges_and_stays_in_the_dilated_region():
    found = covered_area(estimate_mask(masked_face(), square(64)), square(64))[0, 0]
    assert found[19:52, 15:49].all()
    assert not found[:14].any() and not found[dilated_region(square(64))[0, 0] == 0].any()
