"""`facemask export`: write a generator as ONNX, compared with PyTorch, with a model card beside it."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from models.export.model_card import refuse_other_card, write_card
from models.face_networks import FaceGenerator, MadeFaces, latent_vectors
from models.networks import DrawingCorrector, FaceCorrector
from models.params import Direction
from models.training import checkpoint
from models.training.checkpoint import CheckpointInfo
from pipeline.errors import FacemaskError
from pipeline.faces.onnx_session import open_session
from pipeline.storage.files import replacing, sha256

OPSET = 23  # the newest that torch writes
TOLERANCE = 1e-3  # of values in [-1, 1]: an eighth of one of 255 levels


@dataclass(frozen=True)
class Interface:
    """Names of a generator's inputs and outputs, and an example of the inputs for a number of faces."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    example: Callable[[int], tuple[Tensor, ...]]


def export(folder: Path, out: Path, direction: Direction) -> None:
    """Write the generator of a direction, or of new faces, of the checkpoint in `folder` to `out`, and its model card.

    The card is README.md beside it. Inputs: image (B, 3, S, S) in [-1, 1] and guide (B, 2, S, S) in [0, 1]; where a
    drawing is corrected, also drawing in [0, 1]: a mask (B, 5, S, S), or a bare face (B, 4, S, S). Outputs: painted
    (B, 3, S, S) and matte (B, 1, S, S). Of new faces: latent (B, 256), and unmasked, masked (B, 3, S, S), matte. B is
    free; S is the side that the generator was trained at. Raises FacemaskError, and leaves existing files as they were,
    if ONNX Runtime's outputs differ from PyTorch's, or if another README.md exists there.
    """
    if out.suffix != ".onnx":
        raise FacemaskError(
            f"{out} does not end in .onnx: name the file to write, such as exports/{direction}/{direction}.onnx"
        )
    generator, info = _load(folder, direction)
    refuse_other_card(out)
    interface = interface_of(generator, int(info.params["image_px"]))
    with replacing(out) as beside:
        _write(generator, interface, beside)
        _add_metadata(beside, {"checkpoint": sha256(folder / checkpoint.JSON_NAME), "data_licence": info.data_licence})
        difference = _difference(generator, interface, beside)
        if not difference <= TOLERANCE:  # also refuses NaN
            raise FacemaskError(
                f"ONNX Runtime's outputs for {folder} differ from PyTorch's by {difference:.2g}, more than "
                f"{TOLERANCE:g}, so nothing was written: report this with the versions of torch, onnx and onnxruntime"
            )
    write_card(out, folder, info, direction)
    print(
        f"export: {out}, {out.stat().st_size / 1e6:.1f} MB, opset {OPSET}, with its model card; "
        f"ONNX Runtime agrees with PyTorch to {difference:.1g}",
        flush=True,
    )


def _load(folder: Path, direction: Direction) -> tuple[nn.Module, CheckpointInfo]:
    """The generator of a direction; of a checkpoint that makes new faces, the one that it has."""
    if checkpoint.makes_faces(checkpoint.read_info(folder)) and direction == "mask":
        return checkpoint.load_face_generator(folder)
    return checkpoint.load_generator(folder, direction)


def interface_of(generator: nn.Module, side: int) -> Interface:
    """The interface of a generator; of those that change photos, only one that corrects a drawing takes one."""
    if isinstance(generator, FaceGenerator):
        return Interface(("latent",), MadeFaces._fields, lambda faces: (latent_vectors(0, range(faces)),))
    outputs = ("painted", "matte")
    match generator:
        case DrawingCorrector():
            return Interface(("image", "guide", "drawing"), outputs, lambda faces: _example(faces, side))
        case FaceCorrector():
            return Interface(("image", "guide", "drawing"), outputs, lambda faces: _bare_example(faces, side))
        case _:
            return Interface(("image", "guide"), outputs, lambda faces: _example(faces, side)[:2])


def _write(generator: nn.Module, interface: Interface, path: Path) -> None:
    faces = torch.export.Dim("faces", min=1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the exporter's internals
            program = torch.onnx.export(
                generator,
                interface.example(2),
                input_names=interface.inputs,
                output_names=interface.outputs,
                dynamic_shapes=tuple({0: faces} for _ in interface.inputs),
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
    except ImportError as error:
        raise FacemaskError(
            f"export needs the package {error.name}: pip install -c constraints.txt -e '.[export]'"
        ) from error
    assert program is not None
    program.save(path)


def _add_metadata(path: Path, metadata: dict[str, str]) -> None:
    """Add properties to the ONNX file: which checkpoint it was made from, and the licence of its data."""
    import onnx

    model = onnx.load(path)
    onnx.helper.set_model_props(model, metadata)
    onnx.save(model, path)


def _difference(generator: nn.Module, interface: Interface, path: Path) -> float:
    """The largest absolute difference between the outputs of PyTorch and ONNX Runtime, for one face and for three."""
    session = open_session(path)
    differences = []
    for faces in (1, 3):
        example = interface.example(faces)
        with torch.inference_mode():
            expected = generator(*example)
        inputs = {name: value.numpy() for name, value in zip(interface.inputs, example, strict=True)}
        outputs = session.run(list(interface.outputs), inputs)
        differences += [float(np.abs(a.numpy() - b).max()) for a, b in zip(expected, outputs, strict=True)]
    return max(differences)


def _example(faces: int, side: int) -> tuple[Tensor, Tensor, Tensor]:
    """Smooth random images (faces, 3, side, side), conditioning maps with a region and a mouth, and a drawing."""
    rng = torch.Generator().manual_seed(faces)
    coarse = torch.rand((faces, 3, 8, 8), generator=rng) * 2 - 1
    conditioning = torch.zeros(faces, 2, side, side)
    conditioning[:, 0, side // 2 : 7 * side // 8, side // 4 : 3 * side // 4] = 1
    conditioning[:, 1, 5 * side // 8 : 3 * side // 4, 3 * side // 8 : 5 * side // 8] = 0.7
    alpha = nn.functional.avg_pool2d(conditioning[:, :1], 3, stride=1, padding=1)
    images = nn.functional.interpolate(coarse, (side, side), mode="bilinear")
    drawing = torch.cat([alpha * (images.flip(3) + 1) / 2, alpha, 0.3 * (1 - alpha) * alpha.flip(2)], dim=1)
    return images, conditioning, drawing


def _bare_example(faces: int, side: int) -> tuple[Tensor, Tensor, Tensor]:
    """The same, with a drawn bare face."""
    images, conditioning, _ = _example(faces, side)
    area = conditioning[:, :1]
    bare = torch.where(area > 0, images.flip(3), images)
    return images, conditioning, torch.cat([(bare + 1) / 2, area], dim=1)
