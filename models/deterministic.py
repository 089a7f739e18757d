"""Operations whose CUDA kernels add gradients in any order, so that results differ in the last bits from run to run.

Where torch.use_deterministic_algorithms is on (`train.deterministic`), they are computed in a form that has a fixed
order: as products with a matrix, or by index. Otherwise, and in forward results up to rounding, they are torch's own.
torch's documentation of that function lists the operations.
"""

from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional


class ReflectConv2d(nn.Conv2d):
    """A convolution with an odd kernel, and as much reflection padding as keeps the size."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, dilation: int = 1) -> None:
        super().__init__(in_channels, out_channels, kernel, dilation=dilation)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, D, H, W), as nn.Conv2d with padding_mode "reflect"."""
        reach = self.dilation[0] * (self.kernel_size[0] // 2)
        return functional.conv2d(reflected(features, reach), self.weight, self.bias, dilation=self.dilation)


class AdaptiveAveragePool(nn.Module):
    """nn.AdaptiveAvgPool2d."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, side, side)."""
        if not torch.are_deterministic_algorithms_enabled():
            return functional.adaptive_avg_pool2d(features, self.side)
        rows, columns = (_pooling(length, self.side).to(features.device) for length in features.shape[2:])
        return _product(rows, features, columns)


def reflected(features: Tensor, reach: int) -> Tensor:
    """(B, C, H, W) with `reach` mirrored pixels on each side; the edge itself is not repeated."""
    if not torch.are_deterministic_algorithms_enabled():
        return functional.pad(features, (reach, reach, reach, reach), mode="reflect")
    for dim in (2, 3):
        length = features.shape[dim]
        places = torch.arange(-reach, length + reach, device=features.device).abs()
        features = features.index_select(dim, torch.minimum(places, 2 * (length - 1) - places))
    return features


def upsampled(features: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, C, H, W) -> (B, C, *size), bilinear, pixels at their centres."""
    if not torch.are_deterministic_algorithms_enabled():
        return functional.interpolate(features, size, mode="bilinear")
    rows, columns = (
        _bilinear(short, long).to(features.device) for short, long in zip(features.shape[2:], size, strict=True)
    )
    return _product(rows, features, columns)


def _product(rows: Tensor, features: Tensor, columns: Tensor) -> Tensor:
    """rows (h, H), features (B, C, H, W), columns (w, W) -> rows @ features @ columns^T in float32, (B, C, h, w)."""
    with torch.autocast(features.device.type, enabled=False):
        return (rows @ features.float() @ columns.T).to(features.dtype)


@lru_cache(maxsize=16)
def _pooling(length: int, side: int) -> Tensor:
    """(side, length): row i is the mean over the pixels from floor(i length / side) to ceil((i + 1) length / side)."""
    matrix = torch.zeros(side, length)
    for place in range(side):
        first, last = place * length // side, -(-(place + 1) * length // side)
        matrix[place, first:last] = 1 / (last - first)
    return matrix


@lru_cache(maxsize=16)
def _bilinear(short: int, long: int) -> Tensor:
    """(long, short): row i holds the weights of the two pixels beside the centre of pixel i."""
    centres = ((torch.arange(long) + 0.5) * short / long - 0.5).clamp(0, short - 1)
    lower = centres.floor().long().clamp(max=max(0, short - 2))
    matrix = torch.zeros(long, short)
    share = centres - lower
    matrix.scatter_add_(1, lower[:, None], 1 - share[:, None])
    matrix.scatter_add_(1, (lower + 1).clamp(max=short - 1)[:, None], share[:, None])
    return matrix
