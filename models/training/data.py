"""Training batches: which image, which crop, which drawn mask is a pure function of (seed, domain, position).

`position` counts the images of one domain from the start of training. So a resumed run continues with the very next
image, and no data state has to be saved.
"""

import zlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.methods.method import Faces
from models.random_streams import AUGMENT, ORDER, stream
from models.training.drawn_inputs import (
    BARE_CHANNELS,
    DrawnMasks,
    SizedFace,
    WholeDrawings,
    drawn_layers,
    resized,
    whole_layers,
)
from pipeline.faces.conditioning import conditioning_maps
from pipeline.masks.worn import DRAWING_CHANNELS
from pipeline.storage.packed_arrays import PackedSet

_RGB = 3  # channels of a pair
_Points = NDArray[np.float32]


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
    masks: DrawnMasks | None = None  # None: the method needs no drawn masks


def training_batch(data: TrainingSet, seed: int, positions: range, image_px: int) -> Tensor:
    """Random crops, half of them mirrored: (B, H, W, C) uint8, with C as `to_faces` reads it.

    Images that are packed larger than `load_px` are resized to it first: one pack serves several sizes. Masks are
    drawn on the whole image, and then cropped and mirrored with it.
    """
    load = load_px(image_px, data.packed.images.shape[1])
    rows = []
    for position in positions:
        index = data.epoch[image_index(seed, data.domain, position, len(data.epoch))]
        face = SizedFace(data.packed, int(index), data.domain, resized(data.packed.images[index], load))
        layers = [face.image, _maps(face.points, load)]
        if data.masks:
            layers += drawn_layers(face, data.masks, seed, position)
        rng = stream(seed, AUGMENT, data.domain, position)
        top, left = rng.integers(0, load - image_px + 1, size=2)
        step = -1 if rng.random() < 0.5 else 1
        rows.append(np.dstack(layers)[top : top + image_px, left : left + image_px][:, ::step])
    return torch.from_numpy(np.stack(rows))


def whole_batch(
    packed: PackedSet, domain: str, indices: list[int], image_px: int, drawn: WholeDrawings | None
) -> Faces:
    """Whole images, resized to image_px, with what is to be drawn on each; None: with nothing.

    The mask that is drawn on an image depends on its id and the masks only.
    """
    rows = []
    for index in indices:
        face = SizedFace(packed, index, domain, resized(packed.images[index], image_px))
        layers = [face.image, _maps(face.points, image_px)]
        if drawn is not None:
            layers += whole_layers(face, drawn, np.random.default_rng(zlib.crc32(packed.image_ids[index].encode())))
        rows.append(np.dstack(layers))
    return to_faces(torch.from_numpy(np.stack(rows)))


def centre_crops(packed: PackedSet, indices: list[int], image_px: int) -> NDArray[np.uint8]:
    """Whole images scaled as in training, and their middle (N, image_px, image_px, 3): what a crop shows on average."""
    load = load_px(image_px, packed.images.shape[1])
    start = (load - image_px) // 2
    inside = slice(start, start + image_px)
    return np.stack([resized(packed.images[index], load)[inside, inside] for index in indices])


def to_faces(arrays: Tensor) -> Faces:
    """(B, H, W, C) uint8 -> Faces, on the same device.

    The channels are RGB and the conditioning maps; then, each or not, a drawn mask, the RGB of the same face with a
    mask, and a drawn bare face (models.training.drawn_inputs). Their number says which.
    """
    planes = arrays.permute(0, 3, 1, 2)
    images, conditioning = planes[:, :3].float() / 127.5 - 1, to_conditioning(planes[:, 3:5].float() / 255)
    rest = planes[:, 5:]
    drawing = pair = bare = None
    if rest.shape[1] not in (0, _RGB, BARE_CHANNELS, _RGB + BARE_CHANNELS):
        drawing, rest = rest[:, :DRAWING_CHANNELS].float() / 255, rest[:, DRAWING_CHANNELS:]
    if rest.shape[1] in (_RGB, _RGB + BARE_CHANNELS):
        pair, rest = rest[:, :_RGB].float() / 127.5 - 1, rest[:, _RGB:]
    if rest.shape[1] == BARE_CHANNELS:
        bare = rest.float() / 255
    return Faces(images, conditioning, drawing, pair, bare)


def to_conditioning(maps: Tensor) -> Tensor:
    """Conditioning maps (B, 2, H, W) in [0, 1], the region rounded to 0 and 1: resizing and cropping left edges."""
    return torch.cat([maps[:, :1].round(), maps[:, 1:]], dim=1)


def load_px(image_px: int, packed_px: int) -> int:
    """The side, px, of the image that a crop of image_px is cut from: the paper's 286 for 256, at most packed_px."""
    return min(packed_px, round(image_px * 286 / 256))


def _maps(points: _Points, side: int) -> NDArray[np.uint8]:
    return conditioning_maps(None if np.isnan(points).any() else points, side, side)


def to_pixels(images: Tensor) -> NDArray[np.uint8]:
    """(B, 3, H, W) in [-1, 1] -> (B, H, W, 3) uint8."""
    pixels = ((images.detach().float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return pixels.permute(0, 2, 3, 1).cpu().numpy()


def evenly_spaced(count: int, wanted: int) -> list[int]:
    """Up to `wanted` indices of `count` images, evenly spaced."""
    wanted = min(count, wanted)
    return [place * count // wanted for place in range(wanted)]
