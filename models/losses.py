"""The objective of Zhu et al. 2017 (arXiv 1703.10593), with the matte penalty of the guided generator.

X are plain faces, Y masked ones; G: X -> Y puts a mask on, F: Y -> X takes it off; D_Y and D_X judge.
"""

from torch import Tensor
from torch.nn import functional

from models.params import AdversarialLoss

_OTHER_COLOUR = 0.35  # Euclidean distance of two colours in [-1, 1]^3: a mask and the skin under it are farther apart


def adversarial_loss(fake_scores: Tensor, kind: AdversarialLoss = "lsgan", weights: Tensor | None = None) -> Tensor:
    """The generator's part of eq. 1: fakes are to be taken for real.

    lsgan: the least squares of section 4, E[(D(G(x)) - 1)^2]. vanilla: E[-log D(G(x))] with D a sigmoid of the score,
    the form of eq. 1 that has gradients while D is sure (Goodfellow et al. 2014, section 3). With `weights`, of the
    scores' shape (B, 1, H, W), a weighted mean over each image's patches; else all count alike, as in the paper.
    """
    return _distance(fake_scores, 1.0, kind, weights)


def discriminator_loss(
    real_scores: Tensor,
    fake_scores: Tensor,
    kind: AdversarialLoss = "lsgan",
    real_weights: Tensor | None = None,
    fake_weights: Tensor | None = None,
) -> Tensor:
    """The discriminator's part of eq. 1. lsgan: (E[(D(y) - 1)^2] + E[D(G(x))^2]) / 2; vanilla: the like with -log.

    Halved, as section 4 does, to slow D down relative to G.
    """
    of_real = _distance(real_scores, 1.0, kind, real_weights)
    return (of_real + _distance(fake_scores, 0.0, kind, fake_weights)) / 2


def patch_weights(region: Tensor, scores: Tensor) -> Tensor:
    """How much of the lower-face region (B, 1, H, W) each score's part of the image holds, 0-1, of the scores' shape.

    A guided fake differs from a photo nowhere else: other patches teach the discriminator nothing but noise.
    """
    height, width = scores.shape[-2:]
    return functional.adaptive_avg_pool2d(region, (height, width))


def _distance(scores: Tensor, target: float, kind: AdversarialLoss, weights: Tensor | None) -> Tensor:
    match kind:
        case "lsgan":
            distances = (scores - target).square()
        case "vanilla":  # softplus(-s) = -log sigmoid(s); softplus(s) = -log(1 - sigmoid(s))
            distances = functional.softplus(-scores if target else scores)
    if weights is None:
        return distances.mean()
    # Each image for itself: so the mean over processes that share a batch is the batch's.
    of_images = (weights * distances).sum(dim=(1, 2, 3)) / weights.sum(dim=(1, 2, 3)).clamp(min=1e-6)
    return of_images.mean()


def cycle_loss(image: Tensor, back: Tensor) -> Tensor:
    """One term of eq. 2: ||F(G(x)) - x||_1, a mean over all values."""
    return functional.l1_loss(back, image)


def identity_loss(image: Tensor, same: Tensor) -> Tensor:
    """One term of section 5.2's identity loss: ||G(y) - y||_1; its weight there is 0.5 lambda of eq. 3."""
    return functional.l1_loss(same, image)


def matte_loss(matte_loss: Tensor, inside: Tensor, around: Tensor) -> Tensor:
    """How far the matte is from open where `inside` is 1 and from shut where `around` is 0 (ours, not the paper's).

    Outside, painting strays. Inside, a half-open matte lets the mouth show through the mask, and one that draws back
    leaves the mask's rim when it is taken off; the cycle loss rewards both. In the band between, nothing is said:
    where the mask ends there the discriminator knows better than the landmarks.
    """
    return ((1 - matte_loss) * inside + matte_loss * (1 - around)).mean()  # all (B, 1, H, W) in [0, 1]


def coverage_loss(image: Tensor, fake: Tensor, inside: Tensor) -> Tensor:
    """How much of the photo still shows in its fake where `inside` is 1 (ours, not the paper's).

    An open matte is no mask yet: painting a nose as it was costs nothing on the way back, so the cycle loss asks for
    it, and on turned heads the discriminator lets it pass.
    """
    distance = (fake - image).square().sum(dim=1, keepdim=True).add(1e-6).sqrt()  # Euclidean, of colours in [-1, 1]
    return (functional.relu(1 - distance / _OTHER_COLOUR) * inside).mean()


def preservation_loss(image: Tensor, fake: Tensor, visible: Tensor) -> Tensor:
    """How far a fake is from its photo where `visible` (B, 1, H, W) is 1 (ours, not the paper's).

    Of a real masked face this much of the answer is known: what no mask covers stays. It gives the rest its light and
    its skin's colour, where nothing else holds them.
    """
    return functional.l1_loss(fake * visible, image * visible)
