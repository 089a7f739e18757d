"""Differentiable augmentation: what a discriminator sees of real and made images alike (Zhao et al. 2020).

DiffAugment, arXiv 2006.10738: colour and translation, as FastGAN's authors use it. Gradients pass through it to the
generator. With few training images a discriminator without it learns them by heart.
"""

import numpy as np
import torch
from torch import Tensor

DRAWS = 5  # random numbers of an image, each in 0-1
_SHIFT = 1 / 8  # share of the side, the authors'


def draw(rng: np.random.Generator) -> list[float]:
    """The random numbers of one image."""
    return [float(value) for value in rng.random(DRAWS)]


def augmented(images: Tensor, draws: Tensor) -> Tensor:
    """(B, 3, S, S) in [-1, 1] with random numbers (B, DRAWS) -> the same shape: in other colours, and moved."""
    brightness, saturation, contrast, down, across = draws[:, :, None, None, None].unbind(1)  # (B, 1, 1, 1) each
    images = images + brightness - 0.5
    mean = images.mean(dim=1, keepdim=True)
    images = (images - mean) * (2 * saturation) + mean
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    images = (images - mean) * (contrast + 0.5) + mean
    return _moved(_moved(images, down.flatten(), 2), across.flatten(), 3)


def _moved(images: Tensor, share: Tensor, dim: int) -> Tensor:
    """Each image moved along `dim` by up to _SHIFT of its side, where `share` (B,) is 0 or 1; black where it was.

    Each source has one target, so that the gradients do not depend on an order of summation.
    """
    side = images.shape[dim]
    reach = int(_SHIFT * side + 0.5)
    shift = (share * (2 * reach + 1)).long().clamp(max=2 * reach) - reach
    sources = torch.arange(side, device=images.device) + shift[:, None]  # (B, side)
    shape = (len(images), 1, side, 1) if dim == 2 else (len(images), 1, 1, side)
    inside = ((sources >= 0) & (sources < side)).view(shape)
    return images.gather(dim, (sources % side).view(shape).expand_as(images)) * inside
