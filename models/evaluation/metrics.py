"""Metrics of single images: PSNR, SSIM, sharpness, and the mean matte in a region."""

import torch
from torch import Tensor
from torch.nn import functional

MAX_PSNR_DB = 100.0  # of two equal images, whose PSNR would be infinite

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
_WINDOW, _SIGMA = 11, 1.5  # px: the Gaussian window of Wang et al. 2004
_C1, _C2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2  # their K1 and K2, for a range of 2: from -1 to 1


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


def ssim(one: Tensor, other: Tensor, mask: Tensor) -> Tensor:
    """Structural similarity of the luma over the pixels where `mask` is 1, -1 to 1; 1 for equal images.

    Wang, Bovik, Sheikh and Simoncelli 2004, equation 13; the mean of its map (section III C) is taken over the mask.
    one, other (B, 3, H, W) in [-1, 1], sides above 5 px; mask (B, 1, H, W) of 0 and 1 -> (B,)
    """
    x, y = _luma(one), _luma(other)
    mean_x, mean_y = _gaussian(x), _gaussian(y)
    variance_x, variance_y = _gaussian(x * x) - mean_x**2, _gaussian(y * y) - mean_y**2
    covariance = _gaussian(x * y) - mean_x * mean_y
    similarity = (2 * mean_x * mean_y + _C1) * (2 * covariance + _C2)
    similarity = similarity / ((mean_x**2 + mean_y**2 + _C1) * (variance_x + variance_y + _C2))
    return mean_over_mask(similarity, mask)


def sharpness(images: Tensor, mask: Tensor) -> Tensor:
    """Mean magnitude of the luma's Laplacian over the pixels where `mask` is 1; half of it for half the contrast.

    images (B, 3, H, W) in [-1, 1]; mask (B, 1, H, W) of 0 and 1 -> (B,); 0 where the mask is empty
    """
    laplacian = torch.tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]], device=images.device)
    padded = functional.pad(_luma(images), (1, 1, 1, 1), mode="replicate")
    return mean_over_mask(functional.conv2d(padded, laplacian[None, None]).abs(), mask)


def _luma(images: Tensor) -> Tensor:
    """(B, 3, H, W) -> (B, 1, H, W), in the same range."""
    return (images * torch.tensor(_LUMA, device=images.device)[:, None, None]).sum(dim=1, keepdim=True)


def _gaussian(values: Tensor) -> Tensor:
    """The local mean of (B, 1, H, W) under the Gaussian window; at the edges the image is mirrored."""
    reach = _WINDOW // 2
    weights = torch.exp(-torch.arange(-reach, reach + 1, device=values.device).square() / (2 * _SIGMA**2))
    weights = weights / weights.sum()
    padded = functional.pad(values, (reach, reach, reach, reach), mode="reflect")
    return functional.conv2d(functional.conv2d(padded, weights[None, None, None]), weights[None, None, :, None])
