"""Plain faces that wear the masks of others: pairs, with and without, that no data set has.

A generator that takes masks off never sees what was under one. Here it does: the mask of a masked photo is moved and
scaled onto a plain face, by the boxes around both lower-face regions. The region knows the face and not the mask, so
the mask is its core and what has the core's colour around it: the tip that hangs over, and not the bare nose above.
"""

import torch
from torch import Tensor
from torch.nn import functional

from models.zones import core, dilated

_ALIKE = 0.6  # Euclidean distance of two colours, each channel from -1 to 1: folds and shades of one cloth


@torch.no_grad()
def worn(plain: Tensor, plain_region: Tensor, masked: Tensor, masked_region: Tensor, dyes: Tensor) -> Tensor:
    """Images (B, 3, H, W) in [-1, 1], regions (B, 1, H, W) of 0 and 1 -> the plain faces in the others' masks, dyed.

    `dyes` (B, 3, 1, 1) are factors of the masks' R, G and B, where 0 is black.
    """
    centre_to, size_to = _box(plain_region)
    centre_from, size_from = _box(masked_region)
    scale = size_from / size_to
    from_place = torch.cat([torch.diag_embed(scale), (centre_from - scale * centre_to).unsqueeze(2)], dim=2)
    grid = functional.affine_grid(from_place, list(plain.shape), align_corners=False)
    moved = functional.grid_sample(torch.cat([masked, _mask(masked, masked_region)], dim=1), grid, align_corners=False)
    there = moved[:, 3:].round()
    cloth = ((moved[:, :3] + 1) * dyes - 1).clamp(-1, 1)
    return there * cloth + (1 - there) * plain


def _mask(image: Tensor, region: Tensor) -> Tensor:
    """(B, 1, H, W): 1 where the image most likely shows the mask."""
    inside = core(region)
    colour = (image * inside).sum(dim=(2, 3), keepdim=True) / inside.sum(dim=(2, 3), keepdim=True).clamp(min=1)
    alike = ((image - colour).square().sum(dim=1, keepdim=True).sqrt() < _ALIKE).float()
    filled = (functional.avg_pool2d(alike, 7, stride=1, padding=3) > 0.4).float()  # folds, and no lone pixels
    return torch.maximum(inside, dilated(region) * filled)


def _box(region: Tensor) -> tuple[Tensor, Tensor]:
    """Centre and half size (B, 2) as (x, y) of the box around each region, where the image reaches from -1 to 1.

    An empty region's box is the whole image.
    """
    sides = []
    for across in (2, 3):
        line = region.amax(dim=across)[:, 0] > 0.5
        line = line | ~line.any(dim=1, keepdim=True)
        at = torch.linspace(-1, 1, 2 * line.shape[1] + 1, device=region.device)[1::2]  # the pixels' centres
        low = torch.where(line, at, 1.0).amin(dim=1) - 1 / line.shape[1]
        high = torch.where(line, at, -1.0).amax(dim=1) + 1 / line.shape[1]
        sides.append(((low + high) / 2, (high - low) / 2))
    (x, width), (y, height) = sides
    return torch.stack([x, y], dim=1), torch.stack([width, height], dim=1)
