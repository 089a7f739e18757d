"""Training batches: which image, which crop, mirrored or not, is a pure function of (seed, domain, position).

`position` counts the images of one domain from the start of training. So a resumed run continues with the very next
image, and no data state has to be saved.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.random_streams import AUGMENT, ORDER, stream
from pipeline.storage.packed_arrays import PackedSet


@lru_cache(maxsize=4)
def _order(seed: int, domain: str, epoch: int, count: int) -> NDArray[np.int64]:
    """The order of an epoch's `count` images."""
    return stream(seed, ORDER, domain, epoch).permutation(count)


def image_index(seed: int, domain: str, position: int, count: int) -> int:
    """The image at a position. Each epoch shows each of its `count` images once, in a new order."""
    epoch, place = divmod(position, count)
    return int(_order(seed, domain, epoch, count)[place])


@dataclass(frozen=True)
class TrainingSet:
    """The images of one domain to train on."""

    domain: str
    packed: PackedSet
    epoch: NDArray[np.int64]  # indices of the images that one epoch shows, repeats included


def training_batch(data: TrainingSet, seed: int, positions: range, image_px: int) -> tuple[Tensor, Tensor]:
    """Random crops, half of them mirrored: images (B, 3, H, W) in [-1, 1], conditioning (B, 2, H, W) in [0, 1].

    Images that are packed larger than `load_px` are resized to it first: one pack serves several sizes.

    Cropping and mirroring are slices of the memory-mapped arrays, copied by one thread. torchvision's crop and
    horizontal_flip take 0.6 to 0.9 times as long on idle cores, but 1.3 to 3 times as long on two that are shared.
    """
    packed = data.packed
    load = load_px(image_px, packed.images.shape[1])
    images = np.empty((len(positions), image_px, image_px, 3), np.uint8)
    conditioning = np.empty((len(positions), image_px, image_px, 2), np.uint8)
    for row, position in enumerate(positions):
        index = data.epoch[image_index(seed, data.domain, position, len(data.epoch))]
        rng = stream(seed, AUGMENT, data.domain, position)
        top, left = rng.integers(0, load - image_px + 1, size=2)
        step = -1 if rng.random() < 0.5 else 1
        crop = (slice(top, top + image_px), slice(left, left + image_px))
        images[row] = _resized(packed.images[index], load)[crop][:, ::step]
        conditioning[row] = _resized(packed.conditioning[index], load)[crop][:, ::step]
    return to_tensors(images, conditioning)


def load_px(image_px: int, packed_px: int) -> int:
    """The side, px, of the image that a crop of image_px is cut from: the paper's 286 for 256, at most packed_px."""
    return min(packed_px, round(image_px * 286 / 256))


def _resized(picture: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """(H, W, C) -> (side, side, C): bilinear, with antialiasing. Twice as fast as Pillow, and equal to it within 1."""
    if picture.shape[0] == side:
        return picture
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)  # a copy: the pack is read-only
    return _scaled(pixels, side).permute(1, 2, 0).numpy()


def _scaled(pixels: Tensor, side: int) -> Tensor:
    """(..., H, W) -> (..., side, side), bilinear, with antialiasing."""
    from torchvision.transforms.v2.functional import resize  # takes 1.4 s to load: `facemask apply` does not need it

    scaled: Tensor = resize(pixels, [side, side], antialias=True)
    return scaled


def whole_batch(packed: PackedSet, indices: list[int], image_px: int) -> tuple[Tensor, Tensor]:
    """Whole images, resized: images (B, 3, H, W) in [-1, 1], conditioning (B, 2, H, W) in [0, 1]; H = W = image_px."""
    images, conditioning = to_tensors(packed.images[indices], packed.conditioning[indices])
    images = _scaled(images, image_px).clamp(-1, 1)
    conditioning = _scaled(conditioning, image_px)
    conditioning[:, 0] = conditioning[:, 0].round()
    return images, conditioning


def to_tensors(images: NDArray[np.uint8], conditioning: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
    """(B, H, W, 3) and (B, H, W, 2) uint8 -> images (B, 3, H, W) in [-1, 1], conditioning (B, 2, H, W) in [0, 1]."""
    pixels = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float()
    maps = torch.from_numpy(np.ascontiguousarray(conditioning)).permute(0, 3, 1, 2) / 255
    maps[:, 0] = maps[:, 0].round()
    return pixels / 127.5 - 1, maps


def to_pixels(images: Tensor) -> NDArray[np.uint8]:
    """(B, 3, H, W) in [-1, 1] -> (B, H, W, 3) uint8."""
    pixels = ((images.detach().float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return pixels.permute(0, 2, 3, 1).cpu().numpy()


def evenly_spaced(count: int, wanted: int) -> list[int]:
    """Up to `wanted` indices of `count` images, evenly spaced."""
    wanted = min(count, wanted)
    return [place * count // wanted for place in range(wanted)]
