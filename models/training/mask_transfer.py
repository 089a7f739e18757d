"""Plain faces that wear the masks of others: pairs, with and without, that no data set has.

A generator that takes masks off never sees what was under one. Here it does: the mask of a masked photo is moved and
scaled onto a plain face, by the boxes around both lower-face regions.
"""

import torch
from torch import Tensor
from torch.nn import functional

from models.mask_appearance import estimate_mask


@torch.no_grad()
def transfer_masks(plain: Tensor, plain_region: Tensor, masked: Tensor, masked_region: Tensor, dyes: Tensor) -> Tensor:
    """Images (B, 3, H, W) in [-1, 1], regions (B, 1, H, W) of 0 and 1 -> the plain faces in the others' masks, dyed.

    `dyes` (B, 3, 1, 1) are factors of the masks' R, G and B, where 0 is black.
    """
    centre_to, size_to = _box(plain_region)
    centre_from, size_from = _box(masked_region)
    scale = size_from / size_to
    from_place = torch.cat([torch.diag_embed(scale), (centre_from - scale * centre_to).unsqueeze(2)], dim=2)
    grid = functional.affine_grid(from_place, list(plain.shape), align_corners=False)
    photo = torch.cat([masked, estimate_mask(masked, masked_region)], dim=1)
    moved = functional.grid_sample(photo, grid, align_corners=False)
    there = moved[:, 3:].round()
    cloth = ((moved[:, :3] + 1) * dyes - 1).clamp(-1, 1)
    return there * cloth + (1 - there) * plain


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
