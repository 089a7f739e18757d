"""Paints the faces of a photo with a checkpoint's generator: detect, align as in training, translate, paste back."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from models.drawings import changed_share, put_on_corrected
from models.networks import DrawingCorrector, FaceCorrector, FacePainter, replaced_share
from models.params import Direction, GeneratorKind
from models.training import checkpoint
from models.training.data import load_px, to_conditioning, to_faces, to_pixels
from models.training.device import has_bf16_units
from pipeline.faces.alignment import HANGING, face_frame, frame_side, hanging_frame
from pipeline.faces.conditioning import conditioning_maps
from pipeline.faces.face_crops import align_face, crop_frame, framed_points, paste_back, unframed
from pipeline.masks.fit import face_width
from pipeline.masks.mask_set import LiftedMask, draw_one_of
from pipeline.masks.records import UnmaskedFace
from pipeline.masks.warp import scaled
from pipeline.masks.worn import draw_worn, flatten
from pipeline.tools.draw_bare_faces import profile_note, soft_note
from pipeline.tools.draw_masks import SOFT, MaskChoice, bare_faces, content_seed, crop_box, drawable_faces, masked_faces
from pipeline.tools.paint_photos import PaintedPhoto
from pipeline.unmasking.photo_faces import changed_matte, cut_masked_face, is_in_profile, paste_bare_face

_BATCH = 16  # faces in one pass of the generator: bounds the memory
_FADE: dict[GeneratorKind, float] = {"resnet": 1 / 16, "guided": 1 / 64, "painter": 1 / 64}
"""Width of the faded edge, as a share of the frame's side.

The paper's generator repaints the whole frame. The others' matte reaches the edge where a mask hangs below the chin, so
their edge is faded only a little.
"""


@dataclass(frozen=True)
class _Generator:
    """A generator, ready to use."""

    network: nn.Module
    image_px: int  # the side of its input
    fade: float  # see _FADE
    device: torch.device
    masks: list[LiftedMask]  # that it draws, if it has its own


def paint_photo(pixels: NDArray[np.uint8], folder: Path, direction: Direction, choice: MaskChoice) -> PaintedPhoto:
    """Paint the faces of a photo (H, W, 3) RGB with the checkpoint in `folder`: bare ones, or those that wear a mask.

    `choice` says which masks a guided checkpoint puts on. Pixels outside the mattes keep their values.
    """
    faces = drawable_faces(pixels)
    found = (bare_faces if direction == "mask" else masked_faces)(pixels, faces)
    generator, painted = _generator(folder, direction), pixels.copy()
    corrects_bare = isinstance(generator.network, FaceCorrector)
    wanted = [points for points in found if not (corrects_bare and is_in_profile(points))]
    # The largest face last: it is nearest to the camera.
    if isinstance(generator.network, DrawingCorrector):
        seed = content_seed(pixels) if choice.seed is None else choice.seed
        for number in reversed(range(len(wanted))):
            _draw_corrected(painted, wanted[number], generator, choice, (seed, number))
    elif corrects_bare:
        for points in reversed(wanted):
            _correct_bare(painted, points, generator)
    else:
        for start in range(0, len(wanted), _BATCH):
            _paint(pixels, painted, wanted[::-1][start : start + _BATCH], generator)
    if corrects_bare:
        notes = [profile_note(len(found) - len(wanted)), soft_note(wanted)]
    elif isinstance(generator.network, DrawingCorrector):
        notes = [_soft_masks_note(wanted, generator, choice)]
    else:
        notes = [_coarse_note(wanted, generator)]
    return PaintedPhoto(painted, len(wanted), len(faces) - len(found), "; ".join(filter(None, notes)))


def _coarse_note(faces: list[NDArray[np.float32]], generator: _Generator) -> str:
    """A note where the largest face, landmarks (478, 2) in px, is far larger than the model's images; mostly none."""
    side = max((round(frame_side(face_frame(points))) for points in faces), default=0)
    soft = side > 2 * generator.image_px
    return f"the model's images have {generator.image_px} px, this face {side}: it is painted soft" if soft else ""


def _soft_masks_note(faces: list[NDArray[np.float32]], generator: _Generator, choice: MaskChoice) -> str:
    """A note where the widest face, landmarks (478, 2) in px, is far wider than the model's masks; mostly none."""
    if not _draws_own(generator, choice):
        return ""
    widest = max((round(face_width(points.astype(np.float64))) for points in faces), default=0)
    width = max(mask.width_px for mask in generator.masks)
    if widest <= SOFT * width:
        return ""
    return f"the model's masks are {width} px wide, this face {widest} px: they are drawn soft"


def _draws_own(generator: _Generator, choice: MaskChoice) -> bool:
    """Whether the masks of the model's training set are drawn: it has some, and no others are chosen."""
    return bool(generator.masks) and (choice.kind, choice.fabric) == (None, None)


def _draw_corrected(
    painted: NDArray[np.uint8],
    points: NDArray[np.float32],
    generator: _Generator,
    choice: MaskChoice,
    seed: tuple[int, int],
) -> None:
    """Draw a mask on a face, landmarks (478, 2) in px, in place: at the photo's resolution, with G's correction.

    G sees the face as in training, with the same mask, and its correction is scaled to the photo.
    """
    left, top, right, bottom = crop_box(points, painted)
    photo, frame, side = painted[top:bottom, left:right], face_frame(points), generator.image_px

    def drawing(image: NDArray[np.uint8], shares: NDArray[np.float32]) -> NDArray[np.uint8]:
        face, rng = UnmaskedFace(image, shares), np.random.default_rng(seed)
        if _draws_own(generator, choice):
            return flatten(draw_one_of(face, rng, generator.masks))
        return flatten(draw_worn(face, rng, choice.kind, choice.fabric))

    small = crop_frame(Image.fromarray(painted), frame, side)
    with torch.inference_mode(), _autocast(generator):
        found = generator.network.correction(  # type: ignore[operator]
            _to_planes(small).to(generator.device) * 2 - 1,
            _to_planes(drawing(small, framed_points(points, frame))).to(generator.device),
        )
    correction = unframed(found[0].permute(1, 2, 0).float().cpu().numpy(), frame, (left, top, right, bottom))
    shares = ((points - (left, top)) / (right - left, bottom - top)).astype(np.float32)
    layers = _to_planes(drawing(np.ascontiguousarray(photo), shares))
    maps = torch.from_numpy(correction).permute(2, 0, 1)[None]
    faces = put_on_corrected(_to_planes(photo) * 2 - 1, layers, maps, frame_side(frame))
    changed = changed_share(layers)[0, 0].numpy() > 0
    np.copyto(photo, to_pixels(faces)[0], where=changed[..., None])


def _correct_bare(painted: NDArray[np.uint8], points: NDArray[np.float32], generator: _Generator) -> None:
    """Draw a bare face in place of a mask, landmarks (478, 2) in px, in place: at the photo's resolution, with F's
    correction.

    F sees the face at the scale of training's crops, and its correction is scaled to the photo.
    """
    face, side = cut_masked_face(painted, points), _hanging_px(generator.image_px)
    drawn = np.dstack([face.bare, np.where(face.area, 255, 0).astype(np.uint8)])
    maps = conditioning_maps(face.masked.landmarks, side, side)
    image, drawing = (_to_planes(scaled(part, side)) for part in (face.masked.image, drawn))
    with torch.inference_mode(), _autocast(generator):
        inputs = (2 * image - 1, to_conditioning(_to_planes(maps)), drawing)
        correction = generator.network.correction(*(part.to(generator.device) for part in inputs))  # type: ignore[operator]
        replaced = replaced_share(correction, torch.zeros_like(drawing).to(correction))
    changes = torch.cat([127.5 * correction, replaced], dim=1)[0].permute(1, 2, 0).float().cpu().numpy()
    changes = scaled(changes, len(face.area))
    matte = np.maximum(changed_matte(face), changes[..., 3].clip(0, 1))
    paste_bare_face(painted, face, (face.bare + changes[..., :3]).clip(0, 255), matte)


def _hanging_px(image_px: int) -> int:
    """The side of a frame in which a mask is taken off, px of a generator's input, at the scale of training's crops."""
    return 4 * round(HANGING * load_px(image_px, 1024) / 4)


def _to_planes(image: NDArray[np.uint8]) -> torch.Tensor:
    """(H, W, C) uint8 -> (1, C, H, W) in [0, 1]."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255  # a copy: a crop is read-only


def _autocast(generator: _Generator) -> AbstractContextManager[None]:
    """bfloat16 where the hardware has units for it: twice as fast, and other by two levels of 255 at most."""
    device = generator.device.type
    return torch.autocast(device, torch.bfloat16, enabled=has_bf16_units(device == "cuda"))


def _paint(
    pixels: NDArray[np.uint8], painted: NDArray[np.uint8], faces: list[NDArray[np.float32]], generator: _Generator
) -> None:
    """Paint faces, landmarks (478, 2) in px, into `painted`. Input is read from `pixels`, which stays unpainted."""
    frames, side = [face_frame(points) for points in faces], generator.image_px
    if isinstance(generator.network, FacePainter):
        frames = [hanging_frame(frame) for frame in frames]
        side = _hanging_px(side)
    crops, maps = zip(
        *(align_face(pixels, points, frame, side) for points, frame in zip(faces, frames, strict=True)), strict=True
    )
    images, conditioning, *_ = to_faces(torch.from_numpy(np.concatenate([np.stack(crops), np.stack(maps)], axis=3)))
    with torch.inference_mode(), _autocast(generator):
        outputs, mattes = generator.network.paint(images.to(generator.device), conditioning.to(generator.device))  # type: ignore[operator]
    outputs = ((outputs + 1) * 127.5).permute(0, 2, 3, 1).contiguous().cpu().numpy()
    for frame, output, matte in zip(frames, outputs, mattes[:, 0].cpu().numpy(), strict=True):
        paste_back(painted, output, matte, frame, generator.fade)


@cache
def _generator(folder: Path, direction: Direction) -> _Generator:
    """The generator of the checkpoint in `folder`, loaded once per process, on the GPU if there is one."""
    generator, info = checkpoint.load_generator(folder, direction)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = generator.to(device)
    masks = checkpoint.load_masks(folder, info) if direction == "mask" else []
    return _Generator(network, int(info.params["image_px"]), _FADE[info.generator], device, masks)
