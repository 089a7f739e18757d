"""The objective of Zhu et al. 2017 (arXiv 1703.10593), with the matte penalty of the guided generator.

X are plain faces, Y masked ones; G: X -> Y puts a mask on, F: Y -> X takes it off; D_Y and D_X judge.
"""

from torch import Tensor
from torch.nn import functional

from models.params import AdversarialLoss


def adversarial(fake_scores: Tensor, kind: AdversarialLoss = "lsgan") -> Tensor:
    """The generator's part of eq. 1: fakes are to be taken for real.

    lsgan: the least squares of section 4, E[(D(G(x)) - 1)^2]. vanilla: E[-log D(G(x))] with D a sigmoid of the score,
    the form of eq. 1 that has gradients while D is sure (Goodfellow et al. 2014, section 3).
    """
    return _distance(fake_scores, 1.0, kind)


def discrimination(real_scores: Tensor, fake_scores: Tensor, kind: AdversarialLoss = "lsgan") -> Tensor:
    """The discriminator's part of eq. 1. lsgan: (E[(D(y) - 1)^2] + E[D(G(x))^2]) / 2; vanilla: the like with -log.

    Halved, as section 4 does, to slow D down relative to G.
    """
    return (_distance(real_scores, 1.0, kind) + _distance(fake_scores, 0.0, kind)) / 2


def _distance(scores: Tensor, target: float, kind: AdversarialLoss) -> Tensor:
    if kind == "lsgan":
        return (scores - target).square().mean()
    # softplus(-s) = -log sigmoid(s); softplus(s) = -log(1 - sigmoid(s))
    return functional.softplus(-scores if target else scores).mean()


def cycle(image: Tensor, back: Tensor) -> Tensor:
    """One term of eq. 2: ||F(G(x)) - x||_1, a mean over all values."""
    return functional.l1_loss(back, image)


def identity(image: Tensor, same: Tensor) -> Tensor:
    """One term of section 5.2's identity loss: ||G(y) - y||_1; its weight there is 0.5 lambda of eq. 3."""
    return functional.l1_loss(same, image)


def matte(matte: Tensor, region: Tensor) -> Tensor:
    """Mean distance of the matte from the lower-face region (ours, not the paper's).

    Outside, painting strays. Inside, a half-open matte lets the mouth show through the mask, and one that draws
    back leaves the mask's rim when it is taken off; the cycle loss rewards both.
    """
    return functional.l1_loss(matte, region)  # both (B, 1, H, W) in [0, 1]
