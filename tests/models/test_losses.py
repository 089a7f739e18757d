"""The losses' values on a few numbers."""

import pytest
import torch
from torch.nn import functional

from models import losses


def test_the_least_squares_losses_have_their_golden_values():
    real, fake = torch.tensor([0.5, 1.5]), torch.tensor([0.25, -0.5])
    assert losses.adversarial_loss(fake).item() == pytest.approx((0.75**2 + 1.5**2) / 2)
    assert losses.discriminator_loss(real, fake).item() == pytest.approx((0.25 + (0.0625 + 0.25) / 2) / 2)


def test_the_cross_entropy_losses_have_their_golden_values():
    real, fake = torch.tensor([0.5, 1.5]), torch.tensor([0.25, -0.5])

    def entropy(scores, target):
        return functional.binary_cross_entropy_with_logits(scores, torch.full_like(scores, target)).item()

    assert losses.adversarial_loss(fake, "vanilla").item() == pytest.approx(entropy(fake, 1.0))
    expected = (entropy(real, 1.0) + entropy(fake, 0.0)) / 2
    assert losses.discriminator_loss(real, fake, "vanilla").item() == pytest.approx(expected)


def test_a_perfect_discriminator_has_loss_0_and_its_generator_loss_1():
    real, fake = torch.ones(3), torch.zeros(3)
    assert losses.discriminator_loss(real, fake).item() == 0
    assert losses.adversarial_loss(fake).item() == 1


def test_matte_loss_counts_the_open_matte_outside_and_the_closed_matte_inside():
    inside, around = torch.tensor([[[[1.0, 0.0, 0.0, 0.0]]]]), torch.tensor([[[[1.0, 1.0, 0.0, 0.0]]]])
    matte = torch.tensor([[[[0.75, 0.3, 0.5, 0.0]]]])
    assert losses.matte_loss(matte, inside, around).item() == pytest.approx((0.25 + 0.5) / 4)


def test_patches_of_weight_0_do_not_change_weighted_losses():
    scores, weights = torch.tensor([[[[0.0, 5.0]]]]), torch.tensor([[[[1.0, 0.0]]]])
    assert losses.adversarial_loss(scores, "lsgan", weights).item() == pytest.approx(1)
    assert losses.discriminator_loss(scores, scores, "lsgan", weights, weights).item() == pytest.approx(0.5)


def test_a_patch_weight_is_the_share_of_the_patch_in_the_region():
    region = torch.zeros(1, 1, 8, 8)
    region[..., :4, :2] = 1
    assert losses.patch_weights(region, torch.zeros(1, 1, 2, 2)).flatten().tolist() == [0.5, 0, 0, 0]


def test_cycle_and_identity_are_mean_absolute_differences():
    one, other = torch.tensor([0.0, 1.0, -1.0, 0.5]), torch.tensor([0.5, 1.0, 1.0, 0.5])
    assert losses.cycle_loss(one, other).item() == pytest.approx(2.5 / 4)
    assert losses.identity_loss(one, other).item() == pytest.approx(2.5 / 4)


def test_coverage_loss_counts_unchanged_pixels_inside_only():
    image = torch.zeros(1, 3, 1, 4)
    inside = torch.tensor([1.0, 1.0, 0.0, 0.0]).view(1, 1, 1, 4)
    fake = torch.tensor([0.0, 0.5, 0.0, 0.5]).expand(1, 3, 1, 4)  # bare, covered; outside both
    assert losses.coverage_loss(image, fake, inside).item() == pytest.approx(1 / 4, abs=1e-2)


def test_coverage_loss_pushes_unchanged_pixels_to_another_colour():
    image, inside = torch.zeros(1, 3, 1, 1), torch.ones(1, 1, 1, 1)
    fake = torch.full((1, 3, 1, 1), 0.01, requires_grad=True)
    losses.coverage_loss(image, fake, inside).backward()
    assert fake.grad is not None and (fake.grad < 0).all()


def test_preservation_loss_counts_visible_pixels_only():
    image, visible = torch.zeros(1, 3, 1, 4), torch.tensor([1.0, 1.0, 0.0, 0.0]).view(1, 1, 1, 4)
    fake = torch.tensor([0.5, 0.0, 0.5, 0.0]).expand(1, 3, 1, 4)
    assert losses.preservation_loss(image, fake, visible).item() == pytest.approx(0.5 / 4)
