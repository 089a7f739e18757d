"""Each time an example is seen it is moved a little and its colours are changed."""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor


def batch_of(
    rng: np.random.Generator, crops: NDArray[np.uint8], truth: NDArray[np.uint8], side: int
) -> tuple[Tensor, Tensor]:
    """Crops (B, S, S, 3), truth (B, S, S, planes) -> (B, 3, side, side) in [-1, 1], (B, planes, side/2, side/2) 0-1."""
    pixels = torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255
    planes = torch.from_numpy(truth).permute(0, 3, 1, 2).float() / 255
    grid = _moves(rng, len(crops), crops.shape[1], side)
    both = F.grid_sample(torch.cat([pixels, planes], 1), grid, padding_mode="border", align_corners=False)
    pixels, planes = both[:, :3], F.avg_pool2d(both[:, 3:], 2)
    mirrored = torch.from_numpy(rng.random(len(crops)) < 0.5)[:, None, None, None]
    # Mirroring swaps the two cheeks, the last planes.
    swapped = planes.flip(3)[:, [0, 1, 2, 3, 4, 5, 7, 6]]
    pixels, planes = torch.where(mirrored, pixels.flip(3), pixels), torch.where(mirrored, swapped, planes)
    return _coloured(rng, pixels) * 2 - 1, planes


def _moves(rng: np.random.Generator, count: int, wide: int, side: int) -> Tensor:
    """Sampling grids (B, side, side, 2) in the crop's own -1 to 1: turned, scaled and shifted a little."""
    turn, scale = rng.normal(0, 0.05, count), side / wide * np.exp(rng.normal(0, 0.05, count))
    shift = rng.normal(0, 1.2, (count, 2)) * 2 / wide  # px
    cos, sin = scale * np.cos(turn), scale * np.sin(turn)
    theta = np.stack([np.stack([cos, -sin, shift[:, 0]], 1), np.stack([sin, cos, shift[:, 1]], 1)], 1)
    return F.affine_grid(torch.from_numpy(theta).float(), [count, 1, side, side], align_corners=False)


def _coloured(rng: np.random.Generator, pixels: Tensor) -> Tensor:
    """Other light, other white, other film; now and then other colours altogether."""
    count = len(pixels)
    mix = np.eye(3) + rng.normal(0, 0.05, (count, 3, 3))
    for row in np.flatnonzero(rng.random(count) < 0.12):
        mix[row] = np.eye(3)[rng.permutation(3)]
    out = torch.einsum("bij,bjhw->bihw", torch.from_numpy(mix).float(), pixels).clamp(1e-3, 1)
    gamma, gain = np.exp(rng.normal(0, 0.2, (count, 1, 1, 1))), np.exp(rng.normal(0, 0.1, (count, 3, 1, 1)))
    out = out ** torch.from_numpy(gamma).float() * torch.from_numpy(gain).float()
    noise = torch.from_numpy(rng.standard_normal(tuple(out.shape), np.float32))
    return (out + noise * torch.from_numpy(np.abs(rng.normal(0, 0.015, (count, 1, 1, 1)))).float()).clamp(0, 1)
