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


def test_preservation_loss_counts_visible_pixels_only():
    image, visible = torch.zeros(1, 3, 1, 4), torch.tensor([1.0, 1.0, 0.0, 0.0]).view(1, 1, 1, 4)
    fake = torch.tensor([0.5, 0.0, 0.5, 0.0]).expand(1, 3, 1, 4)
    assert losses.preservation_loss(image, fake, visible).item() == pytest.approx(0.5 / 4)


def test_gradient_distance_ignores_a_change_of_light_and_counts_edges_within_the_area():
    drawn, area = torch.zeros(1, 3, 2, 4), torch.ones(1, 1, 2, 4)
    assert losses.gradient_distance(drawn + 0.5, drawn, area).item() == 0
    edge = drawn.clone()
    edge[..., 3] = 0.5
    assert losses.gradient_distance(edge, drawn, area).item() == pytest.approx(0.5**2 * 2 / 8)
    assert losses.gradient_distance(edge, drawn, area * torch.tensor([1.0, 1, 1, 0])).item() == 0


def test_gradient_distance_of_a_batch_is_the_mean_over_its_images():
    """Whatever the size of each one's mask: else two processes would train otherwise than one."""
    drawn, fake = torch.zeros(2, 3, 8, 8), torch.rand(2, 3, 8, 8)
    area = torch.ones(2, 1, 8, 8)
    area[1, ..., 2:] = 0
    alone = [losses.gradient_distance(fake[[i]], drawn[[i]], area[[i]]) for i in range(2)]
    assert losses.gradient_distance(fake, drawn, area).item() == pytest.approx(sum(alone).item() / 2)
