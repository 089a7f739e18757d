import torch

from models.mask_transfer import mask_tints, transfer_masks

SIDE = 64
GREEN, BLUE, RED = (
    torch.tensor(colour).view(1, 3, 1, 1) for colour in ([-0.2, 0.8, 0.6], [-0.2, 0.6, 0.8], [1.0, -1, -1])
)
NO_TINT = torch.ones(1, 3, 1, 1)


def region(top, left, height, width):
    mask = torch.zeros(1, 1, SIDE, SIDE)
    mask[..., top : top + height, left : left + width] = 1
    return mask


def faces():
    """A grey face, a red one with a mask that is green left and blue right, and the red face's region."""
    unmasked = torch.full((1, 3, SIDE, SIDE), 0.1)
    masked = RED.expand(1, 3, SIDE, SIDE).clone()
    masked[:, :, 20:36, 10:18] = GREEN
    masked[:, :, 20:36, 18:26] = BLUE
    return unmasked, masked, region(20, 10, 16, 16)


def near(image, colour):
    return (image - colour).abs().amax(dim=1) < 0.02


def test_a_mask_is_moved_and_scaled_onto_the_other_face():
    unmasked, masked, masked_region = faces()
    found = transfer_masks(unmasked, region(8, 16, 32, 32), masked, masked_region, NO_TINT)
    assert near(found, GREEN)[0, 12:36, 20:30].all()
    assert near(found, BLUE)[0, 12:36, 34:44].all()


def test_the_mask_is_tinted_and_the_face_is_not():
    unmasked, masked, masked_region = faces()
    found = transfer_masks(
        unmasked, region(8, 16, 32, 32), masked, masked_region, torch.tensor([0.5, 0.5, 2]).view(1, 3, 1, 1)
    )
    tinted = torch.tensor([-0.6, -0.1, 1]).view(1, 3, 1, 1)
    assert near(found, tinted)[0, 12:36, 20:30].all()
    assert near(found, unmasked)[0, 44:].all()


def test_the_rest_of_the_unmasked_face_is_unchanged():
    unmasked, masked, masked_region = faces()
    found = transfer_masks(unmasked, region(8, 16, 32, 32), masked, masked_region, NO_TINT)
    assert near(found, unmasked)[0, 44:].all()
    assert near(found, unmasked)[0, :, 54:].all()


def test_a_bare_nose_at_the_regions_upper_edge_is_not_transferred():
    unmasked, masked, masked_region = faces()
    masked[:, :, :23] = RED
    found = transfer_masks(unmasked, masked_region, masked, masked_region, NO_TINT)
    assert near(found, unmasked)[0, 20].all()
    assert not near(found, unmasked)[0, 26, 10:26].any()


def test_a_mask_that_hangs_over_the_region_is_transferred_whole():
    unmasked, masked, masked_region = faces()
    masked[:, :, 36:39, 10:26] = BLUE
    found = transfer_masks(unmasked, masked_region, masked, masked_region, NO_TINT)
    assert near(found, BLUE)[0, 37, 14:22].all()


def test_faces_without_a_region_are_unchanged():
    unmasked, masked, masked_region = faces()
    nowhere = torch.zeros_like(masked_region)
    assert transfer_masks(unmasked, nowhere, masked, nowhere, NO_TINT).equal(unmasked)


def test_two_thirds_of_the_tints_are_1_and_the_others_reach_almost_black():
    factors = mask_tints(1, range(400))[:, :, 0, 0]
    unchanged = (factors == 1).all(dim=1)
    assert 0.57 < unchanged.float().mean() < 0.77
    assert 0.09 < factors.min() < 0.2 and 1.2 < factors.max() < 1.6


def test_a_tint_is_a_pure_function_of_seed_and_position():
    assert mask_tints(1, range(20))[7:9].equal(mask_tints(1, range(7, 9)))
    assert not mask_tints(1, range(20)).equal(mask_tints(2, range(20)))
