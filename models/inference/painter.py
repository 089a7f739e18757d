"""Paints the faces of a photo with a checkpoint's generator: detect, align as in training, translate, paste back."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.params import Direction, GeneratorKind
from models.training import checkpoint
from models.training.data import to_tensors
from models.training.device import has_bf16_units
from pipeline.faces.alignment import face_frame
from pipeline.faces.face_crops import align_face, paste_back
from pipeline.faces.tiled_detection import find_all_faces
from pipeline.tools.paint_photos import PaintedPhoto

_BATCH = 16  # faces in one pass of the generator: bounds the memory
_FADE: dict[GeneratorKind, float] = {"resnet": 1 / 16, "guided": 1 / 64}
"""Width of the faded edge, as a share of the frame's side.

The paper's generator repaints the whole frame. The guided one's matte reaches the edge where a mask hangs below the
chin, so its edge is faded only a little.
"""


@dataclass(frozen=True)
class _Generator:
    """A generator, ready to use."""

    network: nn.Module
    image_px: int  # the side of its input
    fade: float  # see _FADE
    device: torch.device


def paint_photo(pixels: NDArray[np.uint8], folder: Path, direction: Direction) -> PaintedPhoto:
    """Paint every face of a photo (H, W, 3) RGB with the checkpoint in `folder`.

    Pixels outside the mattes keep their values.
    """
    faces = find_all_faces(pixels)
    painted = pixels.copy()
    for start in range(0, len(faces), _BATCH):
        _paint(pixels, painted, faces[start : start + _BATCH], _generator(folder, direction))
    return PaintedPhoto(painted, len(faces))


def _paint(
    pixels: NDArray[np.uint8], painted: NDArray[np.uint8], faces: list[NDArray[np.float32]], generator: _Generator
) -> None:
    """Paint faces, landmarks (478, 2) in px, into `painted`. Input is read from `pixels`, which stays unpainted."""
    bf16 = has_bf16_units(generator.device.type == "cuda")  # twice as fast; differs by two levels of 255 at most
    frames = [face_frame(points) for points in faces]
    crops, maps = zip(
        *(align_face(pixels, points, frame, generator.image_px) for points, frame in zip(faces, frames, strict=True)),
        strict=True,
    )
    images, conditioning = to_tensors(np.stack(crops), np.stack(maps))
    with torch.inference_mode(), torch.autocast(generator.device.type, torch.bfloat16, enabled=bf16):
        outputs, mattes = generator.network.paint(images.to(generator.device), conditioning.to(generator.device))  # type: ignore[operator]
    outputs = ((outputs + 1) * 127.5).permute(0, 2, 3, 1).contiguous().cpu().numpy()
    for frame, output, matte in zip(frames, outputs, mattes[:, 0].cpu().numpy(), strict=True):
        paste_back(painted, output, matte, frame, generator.fade)


@cache
def _generator(folder: Path, direction: Direction) -> _Generator:
    """The generator of the checkpoint in `folder`, loaded once per process, on the GPU if there is one."""
    generators, info = checkpoint.load_generators(folder)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = generators[f"generator_{direction}"].to(device)
    return _Generator(network, int(info.params["image_px"]), _FADE[info.generator], device)
