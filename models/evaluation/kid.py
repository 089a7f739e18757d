"""Kernel Inception Distance between two sets of images, with features whose weights come in a package.

Bińkowski, Sutherland, Arbel and Gretton 2018, "Demystifying MMD GANs" (arXiv 1801.01401), section 4: the unbiased
squared maximum mean discrepancy under a cubic polynomial kernel. The features are EfficientNet-Lite0's instead of
Inception's, so the values compare models of this project with each other, but not with published ones.
"""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from models.evaluation.features import NetworkName, feature_network, features

FEATURES: NetworkName = "efficientnet-lite0"


def kid(fakes: NDArray[np.uint8], reals: NDArray[np.uint8]) -> float | None:
    """KID between two sets of RGB images, (N, H, W, 3) and (M, H, W, 3); 0 for equal distributions.

    None if a set has fewer than two images, or the packages of the extra `evaluation` are not installed.
    """
    if feature_network(FEATURES) is None or min(len(fakes), len(reals)) < 2:
        return None
    return squared_mmd(features(fakes, FEATURES), features(reals, FEATURES))


def squared_mmd(some: Tensor, others: Tensor) -> float:
    """Unbiased estimate of MMD^2 under k(x, y) = (x.y / d + 1)^3, equation 4 and section 4 of the paper.

    Features (N, d) and (M, d), N, M >= 2. It may be negative if both sets come from one distribution.
    """
    some, others = some.double(), others.double()

    def within(features: Tensor) -> Tensor:
        count = len(features)
        kernel = _kernel(features, features)
        return (kernel.sum() - kernel.diagonal().sum()) / (count * (count - 1))

    return float(within(some) + within(others) - 2 * _kernel(some, others).mean())


def _kernel(some: Tensor, others: Tensor) -> Tensor:
    return (some @ others.T / some.shape[1] + 1) ** 3
