"""What is drawn, and two methods after the same training time, on real faces; tested on faces of other persons.

    python -m benchmarks.faces FOLDER [--minutes 40] [--only drawing]

FOLDER contains ffhq/ and maskedface/, with the layout of those data sets. The pipeline's stages curate and pack them,
and a fifth of the persons is kept for testing. `drawing` is the guided method before it learns: the training set's
masks and the bare faces as they are drawn. Then the methods guided and cyclegan are trained at 128 px for the same
time, compiling included. Stage `evaluate` evaluates each. Prints JSON last.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import yaml

from flows.processes.dvc_runner import program_env
from models.training.data import load_px
from pipeline import messages
from pipeline.messages import Message

ROOT = Path(__file__).parent.parent
IMAGE_PX = 128
COMMON = {"image_px": IMAGE_PX, "batch_size": 4, "width": 32, "blocks": 6, "discriminator_width": 48, "seed": 1}
DRAWING = {"method": "guided", "learning_rate": 1e-12, "images_per_domain": 4, "save_every_images": 4}  # learns nothing
METHODS: dict[str, dict[str, Any]] = {
    "guided": {"method": "guided", "learning_rate": 3e-4, "lambda_cycle": 5.0},
    "cyclegan": {"method": "cyclegan", "learning_rate": 4e-4, "lambda_cycle": 10.0, "lambda_identity": 0.5},
}
_CALIBRATION = 96  # images, to measure the speed


def run(workspace: Path, *command: str) -> list[tuple[float, Message]]:
    """Run a stage and print its lines; returns its messages with their times. Exits if the stage fails."""
    env = program_env() | {"PYTHONPATH": str(ROOT), "FACEMASK_WORK": str(workspace / "work"), messages.VARIABLE: "json"}
    found = []
    with subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=workspace,
        env=env | {"TORCHINDUCTOR_CACHE_DIR": str(workspace / "work/compiled")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            message = messages.parse(line)
            if message:
                found.append((time.monotonic(), message))
            print(f"  {message.text if message else line.rstrip()}", flush=True)
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed")
    return found


def write_params(workspace: Path, changes: dict[str, dict[str, Any]]) -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    for block, values in changes.items():
        params[block] |= values
    (workspace / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))


def prepare(workspace: Path, faces: Path) -> dict[str, dict[str, Any]]:
    """Run the stages up to the packed images; returns the changes to params.yaml."""
    (workspace / "data/inbox").mkdir(parents=True)
    shutil.copy(ROOT / "data/review.csv", workspace / "data")
    (workspace / "experiments").symlink_to(ROOT / "experiments")
    changes: dict[str, dict[str, Any]] = {
        "sources": {
            "ffhq": {"kind": "folder", "domain": "unmasked", "path": str(faces / "ffhq")},
            "maskedface": {"kind": "folder", "domain": "masked", "path": str(faces / "maskedface")},
        },
        "pack": {"load_px": load_px(IMAGE_PX, 1024)},
    }
    write_params(workspace, changes)
    params = yaml.safe_load((workspace / "params.yaml").read_text())
    params["curate"]["split"] = {"val": 0.0, "test": 0.2, "test_from_ffhq_id": None}
    changes["curate"] = params["curate"]
    write_params(workspace, changes)
    for stage in ("fetch", "measure"):
        for name in changes["sources"]:
            run(workspace, "pipeline", stage, name)
    for stage in ("curate", "pack"):
        run(workspace, "pipeline", stage)
    run(workspace, "models", "start")
    return changes


def rate(found: list[tuple[float, Message]]) -> float:
    """Images a second in the second half of the training, when compiling is over."""
    points = [(at, message.done) for at, message in found if message.kind == "progress"]
    (began, first), (ended, last) = points[len(points) // 2], points[-1]
    return (last - first) / (ended - began)


def trained(
    workspace: Path, changes: dict[str, dict[str, Any]], values: dict[str, Any], minutes: float
) -> dict[str, Any]:
    """Train for `minutes`, and evaluate; returns the evaluation's metrics."""
    began = time.monotonic()
    values = COMMON | values | {"compile": True}
    length = {"images_per_domain": _CALIBRATION, "save_every_images": _CALIBRATION}
    write_params(workspace, changes | {"train": values | length})
    speed = rate(run(workspace, "models", "train"))
    left = 60 * minutes - (time.monotonic() - began)
    images = int(0.93 * left * speed) // 4 * 4  # the rest: starting, compiling from its cache, saving, sample strips
    length = {"images_per_domain": images, "save_every_images": max(4, images // 8)}
    write_params(workspace, changes | {"train": values | length})
    run(workspace, "models", "train")
    took = time.monotonic() - began
    return {"minutes": round(took / 60, 1), "images": images} | evaluated(workspace)


def drawn(workspace: Path, changes: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Evaluate the drawn masks and bare faces, without training; returns the evaluation's metrics."""
    write_params(workspace, changes | {"train": COMMON | DRAWING})
    run(workspace, "models", "train")
    return evaluated(workspace)


def evaluated(workspace: Path) -> dict[str, Any]:
    """Evaluate checkpoints/; returns the metrics of both directions."""
    run(workspace, "models", "evaluate")
    found: dict[str, Any] = json.loads((workspace / "reports/evaluation.json").read_text())
    return {direction: found[direction] for direction in ("mask", "unmask")}


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw masks, and train two methods on real faces for the same time.")
    parser.add_argument("faces", type=Path, metavar="FOLDER")
    parser.add_argument("--minutes", type=float, default=40.0, help="for each method (default: %(default)s)")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="a new folder for data, checkpoints and pictures")
    parser.add_argument("--only", choices=["drawing", *METHODS], help="only this one")
    options = parser.parse_args()
    faces = options.faces.resolve()
    with nullcontext(options.keep) if options.keep else tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder).resolve() / "w"
        workspace.mkdir(parents=True)
        changes = prepare(workspace, faces)
        found = {}
        for name in [options.only] if options.only else ["drawing", *METHODS]:
            if name == "drawing":
                found[name] = drawn(workspace, changes)
            else:
                found[name] = trained(workspace, changes, METHODS[name], options.minutes)
            for made in ("checkpoints", "reports"):
                shutil.copytree(workspace / made, workspace / name / made)
    print(json.dumps(found))


if __name__ == "__main__":
    os.umask(0o022)
    main()
