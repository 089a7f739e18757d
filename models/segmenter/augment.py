"""Augmentation of training examples: small movements, mirroring and colour changes, new for every batch."""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from pipeline.synthetic.mask_examples import TRUTH_CHANNELS

_LEFT, _RIGHT = TRUTH_CHANNELS.index("left_cheek"), TRUTH_CHANNELS.index("right_cheek")
_MIRRORED = [{_LEFT: _RIGHT, _RIGHT: _LEFT}.get(channel, channel) for channel in range(len(TRUTH_CHANNELS))]


def augment_batch(
    rng: np.random.Generator, crops: NDArray[np.uint8], truth: NDArray[np.uint8], side: int
) -> tuple[Tensor, Tensor]:
    """Augment a batch: crops (B, S, S, 3) and truth (B, S, S, C), 0-255, to network input and target.

    The input is (B, 3, side, side) in [-1, 1], the target (B, C, side/2, side/2) in [0, 1].
    """
    pixels = torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255
    target = torch.from_numpy(truth).permute(0, 3, 1, 2).float() / 255
    grid = _sampling_grids(rng, len(crops), crops.shape[1], side)
    both = F.grid_sample(torch.cat([pixels, target], 1), grid, padding_mode="border", align_corners=False)
    pixels, target = both[:, :3], F.avg_pool2d(both[:, 3:], 2)
    mirrored = torch.from_numpy(rng.random(len(crops)) < 0.5)[:, None, None, None]
    pixels = torch.where(mirrored, pixels.flip(3), pixels)
    target = torch.where(mirrored, target.flip(3)[:, _MIRRORED], target)
    return _change_colours(rng, pixels) * 2 - 1, target


def _sampling_grids(rng: np.random.Generator, count: int, crop_side: int, side: int) -> Tensor:
    """Sampling grids (B, side, side, 2) in the crop's coordinates, -1 to 1: slightly rotated, scaled and shifted."""
    angle, scale = rng.normal(0, 0.05, count), side / crop_side * np.exp(rng.normal(0, 0.05, count))
    shift = rng.normal(0, 1.2, (count, 2)) * 2 / crop_side  # of 1.2 px
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    theta = np.stack([np.stack([cos, -sin, shift[:, 0]], 1), np.stack([sin, cos, shift[:, 1]], 1)], 1)
    return F.affine_grid(torch.from_numpy(theta).float(), [count, 1, side, side], align_corners=False)


def _change_colours(rng: np.random.Generator, pixels: Tensor) -> Tensor:
    """Change colour balance, gamma and gain, add noise, and sometimes permute the channels; (B, 3, H, W) in [0, 1]."""
    count = len(pixels)
    mix = np.eye(3) + rng.normal(0, 0.05, (count, 3, 3))
    for row in np.flatnonzero(rng.random(count) < 0.12):
        mix[row] = np.eye(3)[rng.permutation(3)]
    out = torch.einsum("bij,bjhw->bihw", torch.from_numpy(mix).float(), pixels).clamp(1e-3, 1)
    gamma, gain = np.exp(rng.normal(0, 0.2, (count, 1, 1, 1))), np.exp(rng.normal(0, 0.1, (count, 3, 1, 1)))
    out = out ** torch.from_numpy(gamma).float() * torch.from_numpy(gain).float()
    noise = torch.from_numpy(rng.standard_normal(tuple(out.shape), np.float32))
    return (out + noise * torch.from_numpy(np.abs(rng.normal(0, 0.015, (count, 1, 1, 1)))).float()).clamp(0, 1)
