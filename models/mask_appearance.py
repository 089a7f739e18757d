"""The mask that a picture shows: where it is, how far its edges reach, and what it looks like from afar."""

import torch
from torch import Tensor
from torch.nn import functional

from models.face_regions import dilate, dilated_region, eroded_region
from models.params import Direction

_ALIKE = 0.6  # Euclidean distance of two colours, each channel from -1 to 1: folds and shades of one cloth


def estimate_mask(image: Tensor, region: Tensor) -> Tensor:
    """Where a picture (B, 3, H, W) in [-1, 1] most likely shows a mask: (B, 1, H, W) of 0 and 1.

    The region knows the face and not the mask: so its core, and around it what has the core's colour. That is the tip
    which hangs over, and not the bare nose above.
    """
    inside = eroded_region(region)
    colour = (image * inside).sum(dim=(2, 3), keepdim=True) / inside.sum(dim=(2, 3), keepdim=True).clamp(min=1)
    alike = ((image - colour).square().sum(dim=1, keepdim=True).sqrt() < _ALIKE).float()
    filled = (functional.avg_pool2d(alike, 7, stride=1, padding=3) > 0.4).float()  # folds, and no lone pixels
    return torch.maximum(inside, dilated_region(region) * filled)


def covered(there: Tensor, region: Tensor) -> Tensor:
    """`mask_in`, grown by 1/32 of the image's side, for its seams and edges of another colour: (B, 1, H, W)."""
    return dilate(there, max(1, there.shape[-1] // 32)) * dilated_region(region)


def appearance_code(image: Tensor, there: Tensor) -> Tensor:
    """What the mask in a picture is like, blurred over an eighth of the side: (B, 4, H, W).

    Its colours in [0, 1] times how much of it is there, and how much, 0-1; `there` is `mask_in`'s (B, 1, H, W).
    What one needs to know to put such a mask on a face: its colour, its light, its outline; no folds.
    """
    reach = max(1, image.shape[-1] // 32)
    blurred = torch.cat([(image + 1) / 2 * there, there], dim=1)
    for _ in range(2):
        blurred = functional.avg_pool2d(blurred, 2 * reach + 1, stride=1, padding=reach)
    return blurred


def cycle_condition(way_back: Direction, image: Tensor, region: Tensor) -> Tensor:
    """What the guided generator of the way back is told of the way there, which began with `image` (B, 3, H, W).

    Putting the mask on again: its `cloth`, (B, 4, H, W). Taking it off again: where it was painted, (B, 1, H, W),
    which says no more than that it is no real one.
    """
    return region if way_back == "unmask" else appearance_code(image, estimate_mask(image, region))
