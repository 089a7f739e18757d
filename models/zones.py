"""Where a mask must be, may be, and must not be, by the lower-face region that `pack` drew from the landmarks.

The landmarks know the face and not the mask: real ones end some way below the region's upper edge, and hang over its
lower one. So the region's edge is a band in which the generator is free.
"""

import torch
from torch import Tensor
from torch.nn import functional

_ALIKE = 0.6  # Euclidean distance of two colours, each channel from -1 to 1: folds and shades of one cloth


def region_of(guide: Tensor) -> Tensor:
    """The lower-face region (B, 1, H, W) of 0 and 1 out of a guide (B, 1 or more, H, W)."""
    return guide[:, :1]


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


def mask_in(image: Tensor, region: Tensor) -> Tensor:
    """Where a picture (B, 3, H, W) in [-1, 1] most likely shows a mask: (B, 1, H, W) of 0 and 1.

    The region knows the face and not the mask: so its core, and around it what has the core's colour. That is the tip
    which hangs over, and not the bare nose above.
    """
    inside = core(region)
    colour = (image * inside).sum(dim=(2, 3), keepdim=True) / inside.sum(dim=(2, 3), keepdim=True).clamp(min=1)
    alike = ((image - colour).square().sum(dim=1, keepdim=True).sqrt() < _ALIKE).float()
    filled = (functional.avg_pool2d(alike, 7, stride=1, padding=3) > 0.4).float()  # folds, and no lone pixels
    return torch.maximum(inside, dilated(region) * filled)


def covered(image: Tensor, region: Tensor) -> Tensor:
    """`mask_in`, grown by 1/32 of the image's side, for its seams and edges of another colour: (B, 1, H, W)."""
    return _grown(mask_in(image, region), max(1, image.shape[-1] // 32)) * dilated(region)


def hanging(region: Tensor) -> Tensor:
    """The region, and below its middle the dilated one: where a mask may hang, and no eyes are."""
    rows = region.sum(dim=3, keepdim=True)
    lower = (rows.cumsum(dim=2) > rows.sum(dim=2, keepdim=True) / 2).float()  # (B, 1, H, 1)
    return torch.maximum(region, dilated(region) * lower)


def cloth(image: Tensor, region: Tensor) -> Tensor:
    """The mask in a picture, blurred over an eighth of its side: (B, 4, H, W), its colours in [0, 1] times how much of
    it is there, and how much, 0-1.

    What one needs to know to put such a mask on a face: its colour, its light, its outline; no folds.
    """
    there, reach = mask_in(image, region), max(1, image.shape[-1] // 32)
    blurred = torch.cat([(image + 1) / 2 * there, there], dim=1)
    for _ in range(2):
        blurred = functional.avg_pool2d(blurred, 2 * reach + 1, stride=1, padding=reach)
    return blurred


def _grown(region: Tensor, by: int) -> Tensor:
    """(B, 1, H, W) of 0 and 1, grown by `by` px all around."""
    return functional.max_pool2d(region, 2 * by + 1, stride=1, padding=by)
