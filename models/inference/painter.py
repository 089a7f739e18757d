"""Faces of a photo painted by a checkpoint's generator: found, cut out as training saw them, painted, put back."""

from functools import cache, partial
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.params import Direction, GeneratorKind
from models.training import checkpoint
from models.training.data import to_tensors
from models.training.device import has_bf16_units
from pipeline.faces.alignment import align_face, face_frame, paste_back
from pipeline.faces.landmarker import get_landmarker
from pipeline.faces.tiled_detection import MAX_FACES, find_all_faces
from pipeline.stages.measure import LOW_CONFIDENCE, second_try

_FACES_AT_ONCE = 16  # in one pass of the generator: bounds the memory
# Share of the frame's side over which paint fades to its edge. Plain CycleGAN's is all over the frame; the guided one's
# reaches the edge where a mask hangs below the chin, and must go there too.
_FADE: dict[GeneratorKind, float] = {"resnet": 1 / 16, "guided": 1 / 64}


def paint_photo(pixels: NDArray[np.uint8], folder: Path, direction: Direction) -> tuple[NDArray[np.uint8], int]:
    """A photo (H, W, 3) RGB -> the photo with each face painted by the checkpoint in `folder`, and how many there are.

    Pixels that are not painted stay the very same.
    """
    faces = find_all_faces(
        pixels, get_landmarker(MAX_FACES), partial(second_try, look_again=get_landmarker(1, LOW_CONFIDENCE))
    )
    painted = pixels.copy()
    for start in range(0, len(faces), _FACES_AT_ONCE):
        _paint(pixels, painted, faces[start : start + _FACES_AT_ONCE], folder, direction)
    return painted, len(faces)


def _paint(
    pixels: NDArray[np.uint8],
    painted: NDArray[np.uint8],
    faces: list[NDArray[np.float32]],
    folder: Path,
    direction: Direction,
) -> None:
    """Paint some faces into `painted`; all are read from `pixels`, so that each sees its neighbour as it was."""
    generator, side, fade, device = _generator(folder, direction)
    bf16 = has_bf16_units(device.type == "cuda")  # twice as fast; two levels of 255 off at most
    frames = [face_frame(points) for points in faces]
    cut = [align_face(pixels, points, frame, side) for points, frame in zip(faces, frames, strict=True)]
    images, guides = to_tensors(np.stack([image for image, _ in cut]), np.stack([guide for _, guide in cut]))
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        paint, mattes = generator.paint(images.to(device), guides.to(device))  # type: ignore[operator]
    colours = ((paint + 1) * 127.5).permute(0, 2, 3, 1).contiguous().cpu().numpy()
    for frame, colour, matte in zip(frames, colours, mattes[:, 0].cpu().numpy(), strict=True):
        paste_back(painted, colour, matte, frame, fade)


@cache
def _generator(folder: Path, direction: Direction) -> tuple[nn.Module, int, float, torch.device]:
    """This process's generator, the side of its pictures, px, how its paint fades, and where it runs."""
    generators, info = checkpoint.load_generators(folder)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    side, fade = cast(int, info.params["image_px"]), _FADE[cast(GeneratorKind, info.params["generator"])]
    return generators[f"generator_{direction}"].to(device), side, fade, device
