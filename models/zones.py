"""Where a mask must be, may be, and must not be, by the lower-face region that `pack` drew from the landmarks.

The landmarks know the face and not the mask: real ones end some way below the region's upper edge, and hang over its
lower one. So the region's edge is a band in which the generator is free.
"""

from torch import Tensor
from torch.nn import functional


def core(region: Tensor) -> Tensor:
    """The region without a band of 1/16 of the image's side at its edge: every mask covers this."""
    return 1 - _grown(1 - region, max(1, region.shape[-1] // 16))


def dilated(region: Tensor) -> Tensor:
    """The region grown by 1/16 of the image's side all around: room for a mask's edges and ear loops."""
    return _grown(region, max(1, region.shape[-1] // 16))


def expected(region: Tensor) -> Tensor:
    """1 in the core, 0 outside the dilated region, 1/2 in the band between, with soft steps; (B, 1, H, W)."""
    reach = max(1, region.shape[-1] // 32)  # px
    steps = (core(region) + dilated(region)) / 2
    return functional.avg_pool2d(steps, 2 * reach + 1, stride=1, padding=reach, count_include_pad=False)


def _grown(region: Tensor, by: int) -> Tensor:
    """(B, 1, H, W) of 0 and 1, grown by `by` px all around."""
    return functional.max_pool2d(region, 2 * by + 1, stride=1, padding=by)
