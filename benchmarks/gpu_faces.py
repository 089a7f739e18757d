"""Part `training` of benchmarks.gpu: the guided method trained on real faces for some minutes, and evaluated there.

    python -m benchmarks.gpu_faces PACK FOLDER

writes a pack with its images as JPEG, a sixth of the size, so that it can travel to a machine without network. There

    python -m benchmarks.gpu --only training --pack FOLDER --out OUT [--minutes 5]

trains and evaluates. OUT/training/ then has both sheets and a checkpoint for `facemask apply` and `evaluate`, with
weights in float16, so that no file is larger than 16 MiB.
"""

import argparse
import io
import json
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file, save_file

from benchmarks.gpu_speed import Bench, guided_params
from models.evaluation.direction_metrics import direction_metrics
from models.evaluation.translation import sample_grid, translate_test_faces
from models.image_grids import write_png
from models.params import START_NAME, EvaluateParams, TrainParams
from models.training import checkpoint
from models.training.loop import train
from models.training.state_files import weights_name
from pipeline.masks import mask_set
from pipeline.paths import Paths
from pipeline.storage.files import sha256

_IMAGES, _JPEGS = ".images.npy", ".images.zip"
_QUALITY = 95
_GRID_FACES = 10
_MOST_IMAGES = 10_000_000  # the time ends the training


def write_small_pack(pack: Path, folder: Path) -> None:
    """Write a copy of a pack to a new folder, each image as a JPEG: NAME.images.zip in place of NAME.images.npy."""
    folder.mkdir(parents=True)
    for path in sorted(pack.iterdir()):
        if not path.name.endswith(_IMAGES):
            shutil.copy(path, folder)
            continue
        with zipfile.ZipFile(folder / path.name.replace(_IMAGES, _JPEGS), "w") as archive:
            images = np.load(path, mmap_mode="r")
            archive.writestr("shape.json", json.dumps(images.shape))
            for place, image in enumerate(images):
                buffer = io.BytesIO()
                Image.fromarray(image).save(buffer, "JPEG", quality=_QUALITY)
                archive.writestr(f"{place}.jpg", buffer.getvalue())


def read_small_pack(folder: Path, scratch: Path) -> Path:
    """The pack of which `folder` is the small copy, in a new folder `scratch`; `folder` itself if it is none."""
    if not any(folder.glob(f"*{_JPEGS}")):
        return folder
    scratch.mkdir()
    for path in sorted(folder.iterdir()):
        if path.name.endswith(_JPEGS):
            np.save(scratch / path.name.replace(_JPEGS, _IMAGES), _images(path))
        else:
            shutil.copy(path, scratch)
    return scratch


def _images(path: Path) -> NDArray[np.uint8]:
    with zipfile.ZipFile(path) as archive:
        images = np.empty(json.loads(archive.read("shape.json")), np.uint8)
        for place in range(len(images)):
            images[place] = np.asarray(Image.open(io.BytesIO(archive.read(f"{place}.jpg")), formats=["JPEG"]))
    return images


def training(bench: Bench) -> dict[str, object]:
    """Train on the faces of --pack; images/s, peak memory, and the metrics before (`drawing`) and after."""
    if not bench.pack:
        return {"left_out": "it needs --pack"}
    params, faces = _params(bench), bench.pack
    # A training of one step with a learning rate of nearly 0: what is drawn, evaluated in the same way.
    nothing = replace(params, minutes=None, images_per_domain=params.batch_size, learning_rate=1e-12)
    result = {
        "drawing": _trained(nothing, faces, bench.scratch / "drawing"),
        "trained": _trained(params, faces, bench.scratch / "trained"),
    }
    if bench.out:
        _keep(bench.scratch / "trained", bench.out / "training")
    return result


def _params(bench: Bench) -> TrainParams:
    """Width and blocks as large as float16 weights fit in 16 MiB; eager, since compiling takes half of the time."""
    params = replace(guided_params(bench.params), compile=False, seed=1)
    if bench.smoke:
        return replace(params, images_per_domain=2 * params.batch_size)
    return replace(params, width=48, blocks=6, images_per_domain=_MOST_IMAGES, minutes=bench.minutes)


def _trained(params: TrainParams, faces: Path, workspace: Path) -> dict[str, object]:
    """Train in a new workspace; returns speed, and the metrics of both directions that need no search for faces."""
    paths = Paths(workspace)
    paths.start.mkdir(parents=True)
    (paths.start / START_NAME).write_text('{"model": null, "checkpoint": null}', encoding="utf-8")
    paths.pack.symlink_to(faces.resolve())
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    train(params, paths)
    info = checkpoint.read_info(paths.checkpoints)
    memory = {"peak_gb": round(torch.cuda.max_memory_allocated() / 1e9, 1)} if torch.cuda.is_available() else {}
    rate = {"images_per_s": round(info.images_seen / info.seconds, 1)} if info.seconds else {}
    found = translate_test_faces(paths.checkpoints, EvaluateParams(1000, params.batch_size, _GRID_FACES), paths.pack)
    write_png(workspace / "grid.png", sample_grid(found, _GRID_FACES))
    metrics = dict(zip(("mask", "unmask"), direction_metrics(found), strict=True))
    return {"images": info.images_seen} | rate | memory | {name: one.measured() for name, one in metrics.items()}


def _keep(workspace: Path, folder: Path) -> None:
    """Copy the checkpoint, with its generators in float16, and both sheets to `folder`."""
    paths = Paths(workspace)
    folder.mkdir(parents=True, exist_ok=True)
    info = json.loads((paths.checkpoints / checkpoint.JSON_NAME).read_text(encoding="utf-8"))
    digests = {}
    for name in checkpoint.GENERATORS:
        weights = {key: value.half() for key, value in load_file(paths.checkpoints / weights_name(name)).items()}
        save_file(weights, folder / weights_name(name))
        digests[name] = sha256(folder / weights_name(name))
    (folder / checkpoint.JSON_NAME).write_text(json.dumps(info | {"weights_sha256": digests}), encoding="utf-8")
    for path in (paths.checkpoints / mask_set.NAME, workspace / "grid.png", paths.training_report / "progress.png"):
        shutil.copy(path, folder)


def main() -> None:
    parser = argparse.ArgumentParser(description="Write a pack with its images as JPEG.")
    parser.add_argument("pack", type=Path, metavar="PACK")
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    options = parser.parse_args()
    write_small_pack(options.pack, options.folder)
    print(json.dumps({"bytes": sum(path.stat().st_size for path in options.folder.iterdir())}))


if __name__ == "__main__":
    main()
