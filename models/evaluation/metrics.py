"""Metrics of single images: PSNR, and the mean matte in a region."""

import torch
from torch import Tensor

MAX_PSNR_DB = 100.0  # of two equal images, whose PSNR would be infinite


def psnr(one: Tensor, other: Tensor, mask: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB over the pixels where `mask` is 1, at most MAX_PSNR_DB.

    one, other (B, 3, H, W) in [-1, 1]; mask (B, 1, H, W) of 0 and 1 -> (B,)
    """
    squares = ((one - other).square() * mask).sum(dim=(1, 2, 3))
    values = 3 * mask.sum(dim=(1, 2, 3)).clamp(min=1)
    mean_square = (squares / values).clamp(min=4 * 10 ** (-MAX_PSNR_DB / 10))
    return 10 * torch.log10(4 / mean_square)  # the peak is 2: from -1 to 1


def mean_over_mask(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of `values` over the pixels where `mask` is 1; both (B, 1, H, W) -> (B,). 0 where `mask` is empty."""
    return (values * mask).sum(dim=(1, 2, 3)) / mask.sum(dim=(1, 2, 3)).clamp(min=1)
