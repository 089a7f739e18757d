"""Numbers for one image each: how alike two images are, and where a matte paints."""

import torch
from torch import Tensor

MAX_PSNR_DB = 100.0  # for images that are equal


def psnr(one: Tensor, other: Tensor, where: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB over the pixels where `where` is 1.

    one, other (B, 3, H, W) in [-1, 1]; where (B, 1, H, W) of 0 and 1 -> (B,)
    """
    squares = ((one - other).square() * where).sum(dim=(1, 2, 3))
    values = 3 * where.sum(dim=(1, 2, 3)).clamp(min=1)
    mean_square = (squares / values).clamp(min=4 * 10 ** (-MAX_PSNR_DB / 10))
    return 10 * torch.log10(4 / mean_square)  # the peak is 2: from -1 to 1


def mean_over_mask(values: Tensor, where: Tensor) -> Tensor:
    """Mean of `values` where `where` is 1; both (B, 1, H, W) -> (B,); 0 where there is no such pixel."""
    return (values * where).sum(dim=(1, 2, 3)) / where.sum(dim=(1, 2, 3)).clamp(min=1)
