"""`facemask sample CHECKPOINT`: faces of people who do not exist, each without and with a mask."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from models.training.checkpoint import JSON_NAME, load_face_generator
from models.training.new_faces import Images, face_sheet, make_faces
from pipeline.errors import FacemaskError
from pipeline.progress import Progress
from pipeline.storage.files import replacing, require_no_file, sha256
from pipeline.tools.provenance import SAMPLE, Provenance, png_info, read_provenance
from pipeline.version import VERSION

_ON_SHEET = 64  # faces


def sample(folder: Path, out: Path, count: int, seed: int) -> None:
    """Write OUT/seed0-00000-unmasked.png and -masked.png for each of `count` faces, and OUT/seed0-sheet.png.

    `folder` has the checkpoint. The same seed gives the same faces, whatever the count. Raises FacemaskError if the
    checkpoint makes no faces, or a file exists that facemask did not make.
    """
    generator, _ = load_face_generator(folder)
    generator.to("cuda" if torch.cuda.is_available() else "cpu")
    require_no_file(out)
    pairs = [
        [out / f"seed{seed}-{number:05d}-{kind}.png" for kind in ("unmasked", "masked")] for number in range(count)
    ]
    sheet = out / f"seed{seed}-sheet.png"
    _refuse_to_overwrite([sheet, *(path for pair in pairs for path in pair)])
    checkpoint, shown, progress = sha256(folder / JSON_NAME)[:12], [], Progress("sample", count, unit="face")
    for number, paths in enumerate(pairs):
        pair = make_faces(generator, seed, range(number, number + 1))
        for path, images in zip(paths, pair, strict=True):
            _write(path, images[0], checkpoint, 1)
        if number < _ON_SHEET:
            shown.append(pair)
        progress.add(1)
    unmasked, masked = (np.concatenate(images) for images in zip(*shown, strict=True))
    _write(sheet, face_sheet(unmasked, masked), checkpoint, len(shown))
    print(f"sample: {count:,} {'face' if count == 1 else 'faces'} without and with a mask: {out}", flush=True)


def _write(path: Path, pixels: Images, checkpoint: str, faces: int) -> None:
    """Write a PNG (H, W, 3) that is marked as synthetic."""
    mark = Provenance(f"facemask {VERSION}", checkpoint, SAMPLE, faces, False, "")
    with replacing(path) as beside:
        Image.fromarray(pixels).save(beside, "PNG", pnginfo=png_info(mark, None))


def _refuse_to_overwrite(paths: list[Path]) -> None:
    """Raise FacemaskError if one of these files exists and facemask did not make it."""
    for path in paths:
        if path.exists() and not read_provenance(path):
            raise FacemaskError(
                f"{path} already exists and was not created by facemask: choose another --out, or move it away"
            )
