"""The losses of the CycleGAN paper (Zhu et al. 2017, arXiv 1703.10593) and those of the guided method.

All are means over the batch, as scalars. The files of models/methods combine and weight them.
"""

from torch import Tensor
from torch.nn import functional

from models.params import AdversarialLoss


def adversarial_loss(fake_scores: Tensor, kind: AdversarialLoss = "lsgan", weights: Tensor | None = None) -> Tensor:
    """The generator's part of eq. 1: the discriminator should score its fakes as real.

    lsgan: the least squares of section 4, E[(D(G(x)) - 1)^2]. vanilla: E[-log D(G(x))] with D a sigmoid of the score,
    the non-saturating form of eq. 1 (Goodfellow et al. 2014, section 3). `weights` (B, 1, H, W), of the scores' shape,
    gives a weighted mean over each image's patches; without them all patches count alike, as in the paper.
    """
    return _distance(fake_scores, 1.0, kind, weights)


def discriminator_loss(
    real_scores: Tensor,
    fake_scores: Tensor,
    kind: AdversarialLoss = "lsgan",
    real_weights: Tensor | None = None,
    fake_weights: Tensor | None = None,
) -> Tensor:
    """The discriminator's part of eq. 1. lsgan: (E[(D(y) - 1)^2] + E[D(G(x))^2]) / 2; vanilla: the same with -log.

    Halved, as in section 4, to slow D down relative to G. Weights as in `adversarial_loss`.
    """
    of_real = _distance(real_scores, 1.0, kind, real_weights)
    return (of_real + _distance(fake_scores, 0.0, kind, fake_weights)) / 2


def hinge_adversarial_loss(fake_scores: Tensor) -> Tensor:
    """The generator's hinge loss, -E[D(G(z))] (Lim and Ye 2017, arXiv 1705.02894)."""
    return -fake_scores.mean()


def hinge_discriminator_loss(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """The discriminator's hinge loss, E[max(0, 1 - D(y))] + E[max(0, 1 + D(G(z)))] (same paper)."""
    return functional.relu(1 - real_scores).mean() + functional.relu(1 + fake_scores).mean()


def patch_weights(region: Tensor, scores: Tensor) -> Tensor:
    """The share of each score's patch that lies in the lower-face region (B, 1, H, W): 0-1, of the scores' shape.

    A guided fake differs from its photo only there, so other patches add noise to the discriminator's loss.
    """
    height, width = scores.shape[-2:]
    return functional.adaptive_avg_pool2d(region, (height, width))


def _distance(scores: Tensor, target: float, kind: AdversarialLoss, weights: Tensor | None) -> Tensor:
    """The mean distance of scores from `target`, 1 or 0."""
    match kind:
        case "lsgan":
            distances = (scores - target).square()
        case "vanilla":  # softplus(-s) = -log sigmoid(s); softplus(s) = -log(1 - sigmoid(s))
            distances = functional.softplus(-scores if target else scores)
    if weights is None:
        return distances.mean()
    # Normalised for each image: so the mean over processes that share a batch is the mean over the batch.
    of_images = (weights * distances).sum(dim=(1, 2, 3)) / weights.sum(dim=(1, 2, 3)).clamp(min=1e-6)
    return of_images.mean()


def cycle_loss(image: Tensor, reconstructed: Tensor) -> Tensor:
    """One term of eq. 2: ||F(G(x)) - x||_1, as a mean over all values."""
    return functional.l1_loss(reconstructed, image)


def identity_loss(image: Tensor, output: Tensor) -> Tensor:
    """One term of the identity loss of section 5.2: ||G(y) - y||_1; its weight there is 0.5 lambda of eq. 3."""
    return functional.l1_loss(output, image)


def gradient_distance(fake: Tensor, drawn: Tensor, area: Tensor) -> Tensor:
    """The mean squared difference of two images' gradients (B, 3, H, W) within an area (B, 1, H, W).

    The self-regularisation of Shrivastava et al. 2017 (arXiv 1612.07828, eq. 4), on gradients and squared: a change of
    light is free, small changes are cheap, and edges stay. With their L1 distance nothing changed at all.
    """
    difference = fake - drawn
    down = (difference[:, :, 1:] - difference[:, :, :-1]).square() * area[:, :, 1:]
    across = (difference[..., 1:] - difference[..., :-1]).square() * area[..., 1:]
    total = down.sum(dim=(1, 2, 3)) + across.sum(dim=(1, 2, 3))
    return (total / (area.sum(dim=(1, 2, 3)) * fake.shape[1]).clamp(min=1)).mean()  # as in `_distance`


def distance_within(one: Tensor, other: Tensor, area: Tensor) -> Tensor:
    """The mean absolute difference of (B, C, H, W) within each image's area (B, 1, H, W), as a mean over the batch."""
    total = (area.sum(dim=(1, 2, 3)) * one.shape[1]).clamp(min=1)
    return (((one - other).abs() * area).sum(dim=(1, 2, 3)) / total).mean()


def preservation_loss(image: Tensor, fake: Tensor, visible: Tensor) -> Tensor:
    """How far a fake is from its photo (B, 3, H, W) where `visible` (B, 1, H, W) is 1.

    Ours, not the paper's. What no mask covers must stay as it is: it is the only ground truth of a real masked face,
    and it fixes the light and the skin's colour of the rest.
    """
    return functional.l1_loss(fake * visible, image * visible)
