"""Where a mask must be, may be, and must not be, by the lower-face region that `pack` drew from the landmarks.

The landmarks know the face and not the mask: real ones end some way below the region's upper edge, and hang over its
lower one. So the region's edge is a band in which the generator is free.
"""

import torch
from torch import Tensor
from torch.nn import functional


def lower_face_region(guide: Tensor) -> Tensor:
    """The lower-face region (B, 1, H, W) of 0 and 1 out of a guide (B, 1 or more, H, W)."""
    return guide[:, :1]


def eroded_region(region: Tensor) -> Tensor:
    """The region without a band of 1/16 of the image's side at its edge: every mask covers this."""
    return 1 - dilate(1 - region, max(1, region.shape[-1] // 16))


def required_region(region: Tensor) -> Tensor:
    """Where a mask that is put on must be: the region without a band of 1/16 of the side above, 1/32 elsewhere.

    Masks differ in where they end above; the far cheek of a turned head, and a small chin, are all within the core's
    band, and bare they are a mask worn wrongly.
    """
    above, beside = max(1, region.shape[-1] // 16), max(1, region.shape[-1] // 32)
    bare = functional.pad(1 - region, (beside, beside, above, beside))
    return 1 - functional.max_pool2d(bare, (above + beside + 1, 2 * beside + 1), stride=1)


def dilated_region(region: Tensor) -> Tensor:
    """The region grown by 1/16 of the image's side all around: room for a mask's edges and ear loops."""
    return dilate(region, max(1, region.shape[-1] // 16))


def matte_prior(region: Tensor) -> Tensor:
    """1 in the core, 0 outside the dilated region, 1/2 in the band between, with soft steps; (B, 1, H, W)."""
    reach = max(1, region.shape[-1] // 32)  # px
    steps = (eroded_region(region) + dilated_region(region)) / 2
    return functional.avg_pool2d(steps, 2 * reach + 1, stride=1, padding=reach, count_include_pad=False)


def overhang_region(region: Tensor) -> Tensor:
    """The region, and below its middle the dilated one: where a mask may hang, and no eyes are."""
    rows = region.sum(dim=3, keepdim=True)
    lower = (rows.cumsum(dim=2) > rows.sum(dim=2, keepdim=True) / 2).float()  # (B, 1, H, 1)
    return torch.maximum(region, dilated_region(region) * lower)


def dilate(region: Tensor, by: int) -> Tensor:
    """(B, 1, H, W) of 0 and 1, grown by `by` px all around."""
    return functional.max_pool2d(region, 2 * by + 1, stride=1, padding=by)
