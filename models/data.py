"""Training batches: which image, which crop, mirrored or not, is a pure function of (seed, domain, position).

`position` counts the images of one domain from the start of training. So a resumed run lands on the very next
image, and nothing about data has to be saved.
"""

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

from pipeline.packed import DOMAINS, PackedSet

_ORDER, _AUGMENT, POOL = range(3)  # streams of random numbers, kept apart


def stream(seed: int, purpose: int, domain: str, position: int) -> np.random.Generator:
    """The random numbers for one purpose at one position; no state outlives it."""
    return np.random.default_rng([seed, purpose, DOMAINS.index(domain), position])


@lru_cache(maxsize=4)
def _order(seed: int, domain: str, epoch: int, count: int) -> NDArray[np.int64]:
    return stream(seed, _ORDER, domain, epoch).permutation(count)


def image_index(seed: int, domain: str, position: int, count: int) -> int:
    """Each epoch shows each of the `count` images once, in an order of its own."""
    epoch, place = divmod(position, count)
    return int(_order(seed, domain, epoch, count)[place])


def training_batch(packed: PackedSet, domain: str, seed: int, positions: range, image_px: int) -> tuple[Tensor, Tensor]:
    """Random crops, half of them mirrored: images (B, 3, H, W) in [-1, 1], regions (B, 1, H, W) of 0 and 1.

    Images are resized to `load_px` first, where they are packed larger: one pack serves several sizes.
    """
    load = load_px(image_px, packed.images.shape[1])
    images = np.empty((len(positions), image_px, image_px, 3), np.uint8)
    regions = np.empty((len(positions), image_px, image_px), np.uint8)
    for row, position in enumerate(positions):
        index = image_index(seed, domain, position, len(packed))
        rng = stream(seed, _AUGMENT, domain, position)
        top, left = rng.integers(0, load - image_px + 1, size=2)
        step = -1 if rng.random() < 0.5 else 1
        crop = (slice(top, top + image_px), slice(left, left + image_px))
        images[row] = _resized(packed.images[index], load)[crop][:, ::step]
        regions[row] = (_resized(packed.regions[index], load)[crop][:, ::step] > 127) * np.uint8(255)
    return to_tensors(images, regions)


def load_px(image_px: int, packed_px: int) -> int:
    """The side, px, that crops of image_px are cut from: the paper's 286 for 256, or what is packed if that is less."""
    return min(packed_px, round(image_px * 286 / 256))


def _resized(picture: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """(H, W, 3) or (H, W) scaled to `side`, as PIL's bilinear filter does, which averages over what it drops."""
    if picture.shape[0] == side:
        return picture
    return np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.BILINEAR))


def whole_batch(packed: PackedSet, indices: list[int], image_px: int) -> tuple[Tensor, Tensor]:
    """Whole images resized to image_px, for looking and measuring; the same two tensors."""
    images, regions = to_tensors(packed.images[indices], packed.regions[indices])
    size = (image_px, image_px)
    images = functional.interpolate(images, size, mode="bilinear", antialias=True).clamp(-1, 1)
    regions = functional.interpolate(regions, size, mode="bilinear", antialias=True).round()
    return images, regions


def to_tensors(images: NDArray[np.uint8], regions: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
    """(B, H, W, 3) and (B, H, W) uint8 -> (B, 3, H, W) in [-1, 1] and (B, 1, H, W) of 0 and 1."""
    pixels = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float()
    inside = torch.from_numpy(np.ascontiguousarray(regions)).unsqueeze(1).float()
    return pixels / 127.5 - 1, inside / 255


def to_pixels(images: Tensor) -> NDArray[np.uint8]:
    """(B, 3, H, W) in [-1, 1] -> (B, H, W, 3) uint8."""
    pixels = ((images.detach().float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return pixels.permute(0, 2, 3, 1).cpu().numpy()


def spread(count: int, wanted: int) -> list[int]:
    """Up to `wanted` indices spread evenly over `count` images; always the same ones."""
    wanted = min(count, wanted)
    return [place * count // wanted for place in range(wanted)]
