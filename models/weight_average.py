"""The average of a network's weights over its training: its output changes less from step to step than the network's.

Yazıcı et al. 2019 (arXiv 1806.04498) and Karras et al. 2018 (arXiv 1710.10196) use it for GANs, whose networks circle
around the solution instead of reaching it.
"""

import copy

import torch
from torch import nn

MAX_HALF_LIFE = 10_000.0
"""Images (Karras et al. 2020, arXiv 1912.04958, appendix B)."""


def new_average(network: nn.Module) -> nn.Module:
    """A copy of a network, which no optimiser changes."""
    return copy.deepcopy(network).requires_grad_(False)


def move_average(average: nn.Module, network: nn.Module, images: int, half_life: float) -> None:
    """Move `average` towards `network` after a step of `images` images.

    Half of what it is made of is from the last `half_life` images. Buffers, such as the statistics of batch norm, are
    averages already, and are copied.
    """
    share = 1 - 0.5 ** (images / max(half_life, 1e-8))
    with torch.no_grad():
        for mean, weight in zip(average.parameters(), network.parameters(), strict=True):
            mean.lerp_(weight, share)
        for copied, statistic in zip(average.buffers(), network.buffers(), strict=True):
            copied.copy_(statistic)
