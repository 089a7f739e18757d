"""What is drawn for training and evaluation: masks on faces, faces with a mask as pairs, and bare faces.

Each is a function of the image and a generator of random numbers. A drawn mask has 5 channels
(pipeline.masks.worn.flatten), a drawn bare face 4: RGB of the whole picture, and where the mask was, 0 or 255.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.methods.method import ALL_DRAWN, DrawnInputs, is_corrected, twin_indices
from models.params import Direction
from models.random_streams import DRAW, PAIR, stream
from pipeline.masks import mask_set
from pipeline.masks.compositing import compose
from pipeline.masks.records import ByteImage, UnmaskedFace
from pipeline.masks.warp import scaled
from pipeline.masks.worn import DRAWING_CHANNELS, draw_like, draw_varied, flatten, mask_colour
from pipeline.storage.packed_arrays import PackedSet, mask_area
from pipeline.unmasking.area_errors import with_errors
from pipeline.unmasking.bare_face import bare_face
from pipeline.unmasking.lower_face_model import packaged_model

BARE_CHANNELS = 4
_HALF = 127  # of areas and alphas, 0-255: above it a mask is there
_ALPHA = 3  # channel of a drawn mask
_Points = NDArray[np.float32]


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


@dataclass(frozen=True)
class WholeDrawings:
    """What is drawn on whole images, for evaluation."""

    masks: Sequence[mask_set.LiftedMask]  # of which one is drawn
    directions: Sequence[Direction] = ("mask", "unmask")  # of the generators that get it


@dataclass(frozen=True)
class SizedFace:
    """An image of a set, at the size at which is drawn."""

    packed: PackedSet
    index: int
    domain: str
    image: ByteImage

    @property
    def points(self) -> _Points:
        """Its landmarks (478, 2) as shares; NaN without a face."""
        return np.asarray(self.packed.landmarks[self.index])


def drawn_layers(face: SizedFace, masks: DrawnMasks, seed: int, position: int) -> list[NDArray[np.uint8]]:
    """What a training image at a position comes with, (H, W, C) each: of a mask, a pair and a bare face those that the
    method takes.

    The bare face is that of the masked photo, or of the pair. Where G's output will take the pair's place, the pair is
    the photo with the drawn mask, which G corrects.
    """
    layers, inputs = [], masks.inputs
    if face.domain in inputs.drawings:
        layers.append(draw_mask(face, stream(seed, DRAW, face.domain, position), masks.lifted))
    rng = stream(seed, PAIR, face.domain, position)
    if face.domain == "masked":
        photo, area = face.image, resized_area(face.packed, face.index, face.image.shape[0])
    elif inputs.twin_share is not None:
        if layers and is_corrected(position):  # another drawn mask would be replaced unseen
            photo, area = _put_on(face.image, layers[0]), layers[0][..., _ALPHA]
        else:
            photo, area = _pair(face, masks, rng)
        layers.append(photo)
    if inputs.bare:
        layers.append(draw_bare(photo, face.points, with_errors(area, rng)))
    return layers


def whole_layers(face: SizedFace, drawn: WholeDrawings, rng: np.random.Generator) -> list[NDArray[np.uint8]]:
    """Of a test face, what the directions take: a mask drawn on it, (H, W, 5); and a bare face in place of its own mask
    or the drawn one, (H, W, 4).
    """
    masked, layers = face.domain == "masked", []
    if "mask" in drawn.directions or not masked:
        layers.append(draw_mask(face, rng, drawn.masks))
    if "unmask" in drawn.directions:
        area = resized_area(face.packed, face.index, face.image.shape[0]) if masked else layers[0][..., _ALPHA]
        layers.append(draw_bare(face.image, face.points, area > _HALF))
    return layers if "mask" in drawn.directions else layers[-1:]


def draw_mask(face: SizedFace, rng: np.random.Generator, masks: Sequence[mask_set.LiftedMask]) -> NDArray[np.uint8]:
    """A mask (H, W, 5) drawn on a face: one of `masks`, or on a masked face one of the colour of its mask.

    If drawn masks were of other kinds and colours than real ones, the discriminator would see nothing else.
    """
    if np.isnan(face.points).any():
        return np.zeros((*face.image.shape[:2], DRAWING_CHANNELS), np.uint8)
    to_draw_on = UnmaskedFace(face.image, face.points)
    if face.domain == "masked":
        return flatten(draw_like(to_draw_on, rng, mask_colour(face.image, face.points)))
    return flatten(mask_set.draw_one_of(to_draw_on, rng, masks))


def draw_bare(image: ByteImage, points: _Points, area: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """A masked face with a drawn face where the mask is, and that area: (H, W, 4); without landmarks as it is."""
    if np.isnan(points).any():
        return np.dstack([image, np.zeros(area.shape, np.uint8)])
    bare = bare_face(UnmaskedFace(image, points), area, packaged_model())
    return np.dstack([bare, np.where(area, 255, 0).astype(np.uint8)])


def resized(picture: ByteImage, side: int) -> ByteImage:
    """(H, W, C) -> (side, side, C): bilinear, with antialiasing. Twice as fast as Pillow, and equal to it within 1."""
    if picture.shape[0] == side:
        return np.asarray(picture)
    import torch
    from torchvision.transforms.v2.functional import resize  # takes 1.4 s to load: `facemask apply` does not need it

    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)  # a copy: the pack is read-only
    return np.ascontiguousarray(resize(pixels, [side, side], antialias=True).permute(1, 2, 0).numpy())


def resized_area(packed: PackedSet, index: int, side: int) -> NDArray[np.uint8]:
    """Where the mask is in a masked image, (side, side) 0-255."""
    area = np.where(mask_area(packed, index), 255, 0).astype(np.uint8)
    return scaled(area, side)


def _pair(face: SizedFace, masks: DrawnMasks, rng: np.random.Generator) -> tuple[ByteImage, NDArray[np.uint8]]:
    """The same face (H, W, 3) with a mask, and where that is, (H, W) 0-255.

    Its twin with the wanted probability if it has one, else a drawn mask.
    """
    twin, side = int(masks.twins[face.index]), face.image.shape[0]
    if twin >= 0 and rng.random() < (masks.inputs.twin_share or 0):
        return resized(masks.masked.images[twin], side), resized_area(masks.masked, twin, side)
    if np.isnan(face.points).any():
        return face.image, np.zeros((side, side), np.uint8)
    layers = draw_varied(UnmaskedFace(face.image, face.points), rng)
    return compose(face.image, layers), flatten(layers)[..., _ALPHA]


def _put_on(image: ByteImage, drawing: NDArray[np.uint8]) -> ByteImage:
    """A picture (H, W, 3) with a drawn mask (H, W, 5) on it, as models.drawings.put_on."""
    colour, alpha, shadow = drawing[..., :3], drawing[..., 3:4] / 255, drawing[..., 4:] / 255
    return np.asarray((image * (1 - shadow) * (1 - alpha) + colour).round().clip(0, 255), np.uint8)
