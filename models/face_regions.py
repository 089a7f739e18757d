"""Regions around the lower-face region, which is drawn from the landmarks: where a mask must, may and must not be.

The landmarks show where the face is, not where a mask ends: real masks end below the region's upper edge and hang over
its lower edge. So most losses leave a band at the region's edge free.
"""

from torch import Tensor
from torch.nn import functional


def lower_face_region(guide: Tensor) -> Tensor:
    """The lower-face region (B, 1, H, W) of 0 and 1: the first channel of a guide (B, 1 or more, H, W)."""
    return guide[:, :1]


def eroded_region(region: Tensor) -> Tensor:
    """The region without a band of 1/16 of the image's side at its edge: every mask covers it."""
    return 1 - dilate(1 - region, max(1, region.shape[-1] // 16))


def dilated_region(region: Tensor) -> Tensor:
    """The region dilated by 1/16 of the image's side: it includes a mask's edges and the start of its ear loops."""
    return dilate(region, max(1, region.shape[-1] // 16))


def matte_prior(region: Tensor) -> Tensor:
    """1 in the eroded region, 0 outside the dilated one, 1/2 in the band between, with soft steps: (B, 1, H, W)."""
    reach = max(1, region.shape[-1] // 32)  # px
    steps = (eroded_region(region) + dilated_region(region)) / 2
    return functional.avg_pool2d(steps, 2 * reach + 1, stride=1, padding=reach, count_include_pad=False)


def dilate(region: Tensor, by: int) -> Tensor:
    """(B, 1, H, W), dilated by `by` px in all directions: down, then across, which takes a fraction of the time."""
    down = functional.max_pool2d(region, (2 * by + 1, 1), stride=1, padding=(by, 0))
    return functional.max_pool2d(down, (1, 2 * by + 1), stride=1, padding=(0, by))
