"""Training batches: which image, which crop, mirrored or not, is a pure function of (seed, domain, position).

`position` counts the images of one domain from the start of training. So a resumed run lands on the very next
image, and nothing about data has to be saved.
"""

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.storage.packed_arrays import DOMAINS, PackedSet

_ORDER, _AUGMENT, POOL, _DYE = range(4)  # streams of random numbers, kept apart

_TURNED = 20.0  # degrees of yaw
_DYED = 1 / 3  # of the masks that others wear
_SHADES = 0.12, 1.3  # of a mask's own brightness


def stream(seed: int, purpose: int, domain: str, position: int) -> np.random.Generator:
    """The random numbers for one purpose at one position; no state outlives it."""
    return np.random.default_rng([seed, purpose, DOMAINS.index(domain), position])


@lru_cache(maxsize=4)
def _order(seed: int, domain: str, epoch: int, count: int) -> NDArray[np.int64]:
    return stream(seed, _ORDER, domain, epoch).permutation(count)


def image_index(seed: int, domain: str, position: int, count: int) -> int:
    """Each epoch shows each of its `count` images once, in an order of its own."""
    epoch, place = divmod(position, count)
    return int(_order(seed, domain, epoch, count)[place])


def balanced_by_yaw(packed: PackedSet, other: PackedSet) -> NDArray[np.int64]:
    """The images of an epoch: each once, turned heads up to four times, so that they are a share like that of `other`.

    People in masks are photographed from the front more often. Left so, the discriminator hardly knows how a mask sits
    on a turned head, and the masks that are put on one slip.
    """
    turned, others = (np.abs(faces.yaws) > _TURNED for faces in (packed, other))
    if not turned.any():
        return np.arange(len(packed))
    times = min(4, max(1, round(others.mean() / turned.mean())))
    return np.concatenate([np.arange(len(packed)), np.repeat(np.flatnonzero(turned), times - 1)])


def training_batch(
    packed: PackedSet, epoch: NDArray[np.int64], domain: str, seed: int, positions: range, image_px: int
) -> tuple[Tensor, Tensor]:
    """Random crops, half of them mirrored: images (B, 3, H, W) in [-1, 1], guides (B, 2, H, W) in [0, 1].

    `epoch` are the indices that an epoch shows, in an order of its own each time. Images are resized to `load_px`
    first, where they are packed larger: one pack serves several sizes.

    Cropping and mirroring are slices of the memory-mapped arrays, copied by one thread. torchvision's crop and
    horizontal_flip take 0.6 to 0.9 times as long on idle cores, but 1.3 to 3 times as long on two that are shared.
    """
    load = load_px(image_px, packed.images.shape[1])
    images = np.empty((len(positions), image_px, image_px, 3), np.uint8)
    guides = np.empty((len(positions), image_px, image_px, 2), np.uint8)
    for row, position in enumerate(positions):
        index = epoch[image_index(seed, domain, position, len(epoch))]
        rng = stream(seed, _AUGMENT, domain, position)
        top, left = rng.integers(0, load - image_px + 1, size=2)
        step = -1 if rng.random() < 0.5 else 1
        crop = (slice(top, top + image_px), slice(left, left + image_px))
        images[row] = _resized(packed.images[index], load)[crop][:, ::step]
        guides[row] = _resized(packed.guides[index], load)[crop][:, ::step]
    return to_tensors(images, guides)


def mask_tints(seed: int, positions: range) -> Tensor:
    """What each masked face's mask is dyed with where another wears it: (B, 3, 1, 1), factors of R, G and B.

    Most are 1. The others go from almost black to a little brighter, a little off in hue: of the colours that masks
    have, data sets hold mostly one.
    """
    factors = np.ones((len(positions), 3), np.float32)
    for row, position in enumerate(positions):
        rng = stream(seed, _DYE, "masked", position)
        if rng.random() < _DYED:
            factors[row] = np.exp(rng.uniform(*np.log(_SHADES))) * rng.uniform(0.8, 1.2, 3)
    return torch.from_numpy(factors)[:, :, None, None]


def load_px(image_px: int, packed_px: int) -> int:
    """The side, px, that crops of image_px are cut from: the paper's 286 for 256, or what is packed if that is less."""
    return min(packed_px, round(image_px * 286 / 256))


def _resized(picture: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """(H, W, C) scaled to (side, side, C): bilinear, averaging over the pixels that are dropped (antialias).

    Batches that are resized take half the time that they took with Pillow, which gives the same within a grey level.
    """
    if picture.shape[0] == side:
        return picture
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)  # a copy: the pack is read-only
    return _scaled(pixels, side).permute(1, 2, 0).numpy()


def _scaled(pixels: Tensor, side: int) -> Tensor:
    """(..., H, W) -> (..., side, side)."""
    from torchvision.transforms.v2.functional import resize  # takes 1.4 s to load, which `facemask apply` saves

    scaled: Tensor = resize(pixels, [side, side], antialias=True)
    return scaled


def whole_batch(packed: PackedSet, indices: list[int], image_px: int) -> tuple[Tensor, Tensor]:
    """Whole images resized to image_px, for looking and measuring; the same two tensors."""
    images, guides = to_tensors(packed.images[indices], packed.guides[indices])
    images = _scaled(images, image_px).clamp(-1, 1)
    guides = _scaled(guides, image_px)
    guides[:, 0] = guides[:, 0].round()
    return images, guides


def to_tensors(images: NDArray[np.uint8], guides: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
    """(B, H, W, 3) and (B, H, W, 2) uint8 -> (B, 3, H, W) in [-1, 1] and (B, 2, H, W): regions of 0 and 1, drawings."""
    pixels = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float()
    told = torch.from_numpy(np.ascontiguousarray(guides)).permute(0, 3, 1, 2) / 255
    told[:, 0] = told[:, 0].round()
    return pixels / 127.5 - 1, told


def to_pixels(images: Tensor) -> NDArray[np.uint8]:
    """(B, 3, H, W) in [-1, 1] -> (B, H, W, 3) uint8."""
    pixels = ((images.detach().float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return pixels.permute(0, 2, 3, 1).cpu().numpy()


def evenly_spaced(count: int, wanted: int) -> list[int]:
    """Up to `wanted` indices spread evenly over `count` images; always the same ones."""
    wanted = min(count, wanted)
    return [place * count // wanted for place in range(wanted)]
