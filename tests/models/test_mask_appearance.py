import torch

from models.face_regions import dilated_region
from models.mask_appearance import covered_area, estimate_mask
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


def test_the_covered_area_includes_the_masks_edges_and_stays_in_the_dilated_region():
    found = covered_area(estimate_mask(masked_face(), square(64)), square(64))[0, 0]
    assert found[19:52, 15:49].all()
    assert not found[:14].any() and not found[dilated_region(square(64))[0, 0] == 0].any()
