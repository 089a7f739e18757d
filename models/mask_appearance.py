"""Where a mask is: in a photo, by an estimate, or in a pair of photos with and without it."""

import torch
from torch import Tensor
from torch.nn import functional

from models.face_regions import dilate, dilated_region, eroded_region

_CHANGED = 0.04  # difference in [-1, 1] from which a pair's pixel counts as changed
_SIMILAR = 0.6  # Euclidean distance of two colours in [-1, 1]^3: folds and shades of one fabric are closer


def estimate_mask(image: Tensor, region: Tensor) -> Tensor:
    """The area in which images (B, 3, H, W) in [-1, 1] most likely show a mask: (B, 1, H, W) of 0 and 1.

    The lower-face region follows the face and not the mask. The estimate is the eroded region, and around it the
    pixels of similar colour: it includes a tip that hangs below the chin, and excludes a bare nose.
    """
    inside = eroded_region(region)
    colour = (image * inside).sum(dim=(2, 3), keepdim=True) / inside.sum(dim=(2, 3), keepdim=True).clamp(min=1)
    similar = ((image - colour).square().sum(dim=1, keepdim=True).sqrt() < _SIMILAR).float()
    filled = (functional.avg_pool2d(similar, 7, stride=1, padding=3) > 0.4).float()  # closes folds, drops lone pixels
    return torch.maximum(inside, dilated_region(region) * filled)


def covered_area(estimated_mask: Tensor, region: Tensor) -> Tensor:
    """The estimated mask dilated by 1/32 of the image's side, for seams and edges of other colours: (B, 1, H, W)."""
    return dilate(estimated_mask, max(1, estimated_mask.shape[-1] // 32)) * dilated_region(region)


def changed_area(one: Tensor, other: Tensor) -> Tensor:
    """Where a pair's images (B, 3, H, W) differ, dilated by 1/128 of the side: (B, 1, H, W) of 0 and 1."""
    changed = ((one - other).abs().amax(dim=1, keepdim=True) > _CHANGED).float()
    return dilate(changed, max(1, one.shape[-1] // 128))
