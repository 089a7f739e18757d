"""Copy masks from masked photos onto unmasked faces, which yields paired training data."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from models.mask_appearance import estimate_mask
from models.random_streams import TINT, stream

_TINTED = 1 / 3  # share of the masks that get a tint
_BRIGHTNESS = 0.12, 1.3  # range of a tint's factor


def mask_tints(seed: int, positions: range) -> Tensor:
    """Factors of R, G and B for the masks of the images at `positions`, (B, 3, 1, 1); most are 1.

    The others range from almost black to a little brighter, with a small shift of hue: most data sets hold masks of
    one colour.
    """
    factors = np.ones((len(positions), 3), np.float32)
    for row, position in enumerate(positions):
        rng = stream(seed, TINT, "masked", position)
        if rng.random() < _TINTED:
            factors[row] = np.exp(rng.uniform(*np.log(_BRIGHTNESS))) * rng.uniform(0.8, 1.2, 3)
    return torch.from_numpy(factors)[:, :, None, None]


@torch.no_grad()
def transfer_masks(
    unmasked: Tensor, unmasked_region: Tensor, masked: Tensor, masked_region: Tensor, tints: Tensor
) -> Tensor:
    """Images (B, 3, H, W) in [-1, 1], regions (B, 1, H, W) of 0 and 1 -> the unmasked faces with the others' masks.

    Each mask is moved and scaled so that the bounding box of its face's region becomes that of the other face's.
    `tints` (B, 3, 1, 1) are factors of the masks' R, G and B, where 0 is black.
    """
    centre_to, size_to = _box(unmasked_region)
    centre_from, size_from = _box(masked_region)
    scale = size_from / size_to
    transform = torch.cat([torch.diag_embed(scale), (centre_from - scale * centre_to).unsqueeze(2)], dim=2)  # (B, 2, 3)
    grid = functional.affine_grid(transform, list(unmasked.shape), align_corners=False)
    photo = torch.cat([masked, estimate_mask(masked, masked_region)], dim=1)
    moved = functional.grid_sample(photo, grid, align_corners=False)
    mask_area = moved[:, 3:].round()
    mask = ((moved[:, :3] + 1) * tints - 1).clamp(-1, 1)
    return mask_area * mask + (1 - mask_area) * unmasked


def _box(region: Tensor) -> tuple[Tensor, Tensor]:
    """Centre and half size, (B, 2) as (x, y), of each region's bounding box; the image spans -1 to 1.

    An empty region gives the whole image.
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
