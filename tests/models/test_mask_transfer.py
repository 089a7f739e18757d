import torch

from models.training.mask_transfer import transfer_masks

SIDE = 64
GREEN, BLUE, RED = (
    torch.tensor(colour).view(1, 3, 1, 1) for colour in ([-0.2, 0.8, 0.6], [-0.2, 0.6, 0.8], [1.0, -1, -1])
)
AS_IT_IS = torch.ones(1, 3, 1, 1)


def region(top, left, height, width):
    there = torch.zeros(1, 1, SIDE, SIDE)
    there[..., top : top + height, left : left + width] = 1
    return there


def pictures():
    """A grey face and a red one in a mask that is green left and blue right; the mask's region."""
    plain = torch.full((1, 3, SIDE, SIDE), 0.1)
    masked = RED.expand(1, 3, SIDE, SIDE).clone()
    masked[:, :, 20:36, 10:18] = GREEN
    masked[:, :, 20:36, 18:26] = BLUE
    return plain, masked, region(20, 10, 16, 16)


def near(image, colour):
    return (image - colour).abs().amax(dim=1) < 0.02


def test_a_mask_is_moved_and_scaled_onto_the_other_face():
    plain, masked, its_region = pictures()
    made = transfer_masks(plain, region(8, 16, 32, 32), masked, its_region, AS_IT_IS)
    assert near(made, GREEN)[0, 12:36, 20:30].all()
    assert near(made, BLUE)[0, 12:36, 34:44].all()


def test_the_mask_is_dyed_and_the_face_is_not():
    plain, masked, its_region = pictures()
    made = transfer_masks(
        plain, region(8, 16, 32, 32), masked, its_region, torch.tensor([0.5, 0.5, 2]).view(1, 3, 1, 1)
    )
    dyed = torch.tensor([-0.6, -0.1, 1]).view(1, 3, 1, 1)
    assert near(made, dyed)[0, 12:36, 20:30].all()
    assert near(made, plain)[0, 44:].all()


def test_all_else_of_the_plain_face_stays():
    plain, masked, its_region = pictures()
    made = transfer_masks(plain, region(8, 16, 32, 32), masked, its_region, AS_IT_IS)
    assert near(made, plain)[0, 44:].all()
    assert near(made, plain)[0, :, 54:].all()


def test_the_bare_nose_in_the_upper_edge_of_the_region_is_no_mask():
    plain, masked, its_region = pictures()
    masked[:, :, :23] = RED
    made = transfer_masks(plain, its_region, masked, its_region, AS_IT_IS)
    assert near(made, plain)[0, 20].all()
    assert not near(made, plain)[0, 26, 10:26].any()


def test_what_hangs_over_the_region_is_the_mask_too():
    plain, masked, its_region = pictures()
    masked[:, :, 36:39, 10:26] = BLUE
    made = transfer_masks(plain, its_region, masked, its_region, AS_IT_IS)
    assert near(made, BLUE)[0, 37, 14:22].all()


def test_faces_without_a_region_are_left_as_they_are():
    plain, masked, its_region = pictures()
    nowhere = torch.zeros_like(its_region)
    assert transfer_masks(plain, nowhere, masked, nowhere, AS_IT_IS).equal(plain)
