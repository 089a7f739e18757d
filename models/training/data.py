"""Training batches: which image, which crop, which drawn mask is a pure function of (seed, domain, position).

`position` counts the images of one domain from the start of training. So a resumed run continues with the very next
image, and no data state has to be saved.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.methods.method import ALL_DRAWN, DrawnInputs, Faces, twin_indices
from models.random_streams import AUGMENT, DRAW, ORDER, PAIR, stream
from pipeline.faces.conditioning import conditioning_maps
from pipeline.masks import mask_set
from pipeline.masks.compositing import compose
from pipeline.masks.records import ByteImage, UnmaskedFace
from pipeline.masks.worn import DRAWING_CHANNELS, draw_like, draw_varied, flatten, mask_colour
from pipeline.storage.packed_arrays import PackedSet

_DRAWING, _PAIR = 3 + 2, 3 + 2 + DRAWING_CHANNELS  # first channels of a batch
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
    masks: "DrawnMasks | None" = None  # None: the method needs no drawn masks


@dataclass(frozen=True)
class DrawnMasks:
    """What drawn masks are like, from the masked training faces."""

    lifted: Sequence[mask_set.LiftedMask]  # masks of the training set
    masked: PackedSet
    twins: NDArray[np.int64]  # for each unmasked image the masked one of the same FFHQ id, or -1
    inputs: DrawnInputs = ALL_DRAWN


def drawn_masks(
    unmasked: PackedSet, masked: PackedSet, lifted: Sequence[mask_set.LiftedMask], inputs: DrawnInputs = ALL_DRAWN
) -> DrawnMasks:
    """The masks to draw, and the pairs of faces with and without a mask."""
    return DrawnMasks(lifted, masked, twin_indices(unmasked, masked), inputs)


def training_batch(data: TrainingSet, seed: int, positions: range, image_px: int) -> Tensor:
    """Random crops, half of them mirrored: (B, H, W, C) uint8, with C as `to_faces` reads it.

    Images that are packed larger than `load_px` are resized to it first: one pack serves several sizes. Masks are
    drawn on the whole image, and then cropped and mirrored with it.
    """
    load = load_px(image_px, data.packed.images.shape[1])
    rows = []
    for position in positions:
        index = data.epoch[image_index(seed, data.domain, position, len(data.epoch))]
        image, points = _resized(data.packed.images[index], load), data.packed.landmarks[index]
        layers = [image, _maps(points, load)]
        if data.masks and data.domain in data.masks.inputs.drawings:
            rng = stream(seed, DRAW, data.domain, position)
            layers.append(_drawing(data.domain, image, points, rng, data.masks.lifted))
        if data.masks and data.domain == "unmasked" and data.masks.inputs.twin_share is not None:
            layers.append(_pair(data.masks, index, image, points, stream(seed, PAIR, data.domain, position)))
        rng = stream(seed, AUGMENT, data.domain, position)
        top, left = rng.integers(0, load - image_px + 1, size=2)
        step = -1 if rng.random() < 0.5 else 1
        rows.append(np.dstack(layers)[top : top + image_px, left : left + image_px][:, ::step])
    return torch.from_numpy(np.stack(rows))


def whole_batch(
    packed: PackedSet, domain: str, indices: list[int], image_px: int, masks: Sequence[mask_set.LiftedMask] | None
) -> Faces:
    """Whole images, resized to image_px, with one of those masks drawn on each; None: without drawn masks.

    The mask that is drawn on an image depends on its id and the masks only.
    """
    rows = []
    for index in indices:
        image, points = _resized(packed.images[index], image_px), packed.landmarks[index]
        layers = [image, _maps(points, image_px)]
        if masks is not None:
            rng = np.random.default_rng(zlib.crc32(packed.image_ids[index].encode()))
            layers.append(_drawing(domain, image, points, rng, masks))
        rows.append(np.dstack(layers))
    return to_faces(torch.from_numpy(np.stack(rows)))


def centre_crops(packed: PackedSet, indices: list[int], image_px: int) -> NDArray[np.uint8]:
    """Whole images scaled as in training, and their middle (N, image_px, image_px, 3): what a crop shows on average."""
    load = load_px(image_px, packed.images.shape[1])
    start = (load - image_px) // 2
    inside = slice(start, start + image_px)
    return np.stack([_resized(packed.images[index], load)[inside, inside] for index in indices])


def to_faces(arrays: Tensor) -> Faces:
    """(B, H, W, C) uint8 -> Faces, on the same device.

    The channels are RGB and the conditioning maps; then, or not, a drawing (pipeline.masks.worn.flatten); and then, or
    not, the RGB of the same face with a mask.
    """
    planes = arrays.permute(0, 3, 1, 2)
    images, maps = planes[:, :3].float() / 127.5 - 1, planes[:, 3:_DRAWING].float() / 255
    conditioning = torch.cat([maps[:, :1].round(), maps[:, 1:]], dim=1)
    more = planes.shape[1] - _DRAWING  # channels
    drawing = planes[:, _DRAWING:_PAIR].float() / 255 if more >= DRAWING_CHANNELS else None
    pair = planes[:, -3:].float() / 127.5 - 1 if more in (3, DRAWING_CHANNELS + 3) else None
    return Faces(images, conditioning, drawing, pair)


def load_px(image_px: int, packed_px: int) -> int:
    """The side, px, of the image that a crop of image_px is cut from: the paper's 286 for 256, at most packed_px."""
    return min(packed_px, round(image_px * 286 / 256))


def _maps(points: _Points, side: int) -> NDArray[np.uint8]:
    return conditioning_maps(None if np.isnan(points).any() else points, side, side)


def _drawing(
    domain: str, image: ByteImage, points: _Points, rng: np.random.Generator, masks: Sequence[mask_set.LiftedMask]
) -> NDArray[np.uint8]:
    """A mask (H, W, 5) drawn on a face: one of `masks`, or on a masked face one of the colour of its mask.

    If drawn masks were of other kinds and colours than real ones, the discriminator would see nothing else.
    """
    if np.isnan(points).any():
        return np.zeros((*image.shape[:2], DRAWING_CHANNELS), np.uint8)
    face = UnmaskedFace(image, points)
    if domain == "masked":
        return flatten(draw_like(face, rng, mask_colour(image, points)))
    return flatten(mask_set.draw_one_of(face, rng, masks))


def _pair(
    masks: DrawnMasks, index: int, image: ByteImage, points: _Points, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """The same face (H, W, 3) with a mask: its twin with the wanted probability if it has one, else a drawn mask."""
    twin = int(masks.twins[index])
    if twin >= 0 and rng.random() < (masks.inputs.twin_share or 0):
        return _resized(masks.masked.images[twin], image.shape[0])
    if np.isnan(points).any():
        return image
    return compose(image, draw_varied(UnmaskedFace(image, points), rng))


def _resized(picture: ByteImage, side: int) -> ByteImage:
    """(H, W, C) -> (side, side, C): bilinear, with antialiasing. Twice as fast as Pillow, and equal to it within 1."""
    if picture.shape[0] == side:
        return np.asarray(picture)
    from torchvision.transforms.v2.functional import resize  # takes 1.4 s to load: `facemask apply` does not need it

    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)  # a copy: the pack is read-only
    return np.ascontiguousarray(resize(pixels, [side, side], antialias=True).permute(1, 2, 0).numpy())


def to_pixels(images: Tensor) -> NDArray[np.uint8]:
    """(B, 3, H, W) in [-1, 1] -> (B, H, W, 3) uint8."""
    pixels = ((images.detach().float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return pixels.permute(0, 2, 3, 1).cpu().numpy()


def evenly_spaced(count: int, wanted: int) -> list[int]:
    """Up to `wanted` indices of `count` images, evenly spaced."""
    wanted = min(count, wanted)
    return [place * count // wanted for place in range(wanted)]
