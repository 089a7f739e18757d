"""What the generators make of real faces in a given time, on faces that were never trained on.

    python -m benchmarks.faces FOLDER [--minutes 25]

FOLDER holds ffhq/ and maskedface/, laid out as those data sets are. From nothing: the pipeline's own stages curate and
pack them, a fifth of the persons is kept for the test; then the guided generator and plain CycleGAN are trained at
128 px for the same time each, compiling included, and evaluated by stage `evaluate`. Prints JSON last.
"""

import argparse
import json
import os
import re
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

ROOT = Path(__file__).parent.parent
IMAGE_PX = 128
COMMON = {"image_px": IMAGE_PX, "batch_size": 4, "width": 32, "blocks": 6, "discriminator_width": 48, "seed": 1}
GENERATORS: dict[str, dict[str, Any]] = {
    # An hour is short of images: more weight on the cycle than with the defaults, the identity loss's left as it is.
    "guided": {"generator": "guided", "learning_rate": 4e-4, "lambda_cycle": 13.0, "lambda_identity": 0.385},
    "resnet": {"generator": "resnet", "learning_rate": 4e-4, "lambda_cycle": 10.0, "lambda_identity": 0.5},
}
_CALIBRATION = 96  # images, to see how fast it goes
_LINE = re.compile(r"(\d+)/\d+ images, ")


def run(workspace: Path, *command: str) -> list[tuple[float, str]]:
    """A stage, its lines shown as they come; gives them with their times. Its failure ends the benchmark."""
    env = program_env() | {"PYTHONPATH": str(ROOT), "FACEMASK_WORK": str(workspace / "work")}
    lines = []
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
            lines.append((time.monotonic(), line.rstrip()))
            print(f"  {lines[-1][1]}", flush=True)
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed")
    return lines


def write_params(workspace: Path, changes: dict[str, dict[str, Any]]) -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    for block, values in changes.items():
        params[block] |= values
    (workspace / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))


def prepare(workspace: Path, faces: Path) -> dict[str, dict[str, Any]]:
    """Up to the packed images; gives the changes to params.yaml."""
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


def rate(lines: list[tuple[float, str]]) -> float:
    """Images a second, of the second half of what was trained: compiling is over by then."""
    points = [(at, int(found[1])) for at, line in lines if (found := _LINE.match(line))]
    (began, first), (ended, last) = points[len(points) // 2], points[-1]
    return (last - first) / (ended - began)


def trained(
    workspace: Path, changes: dict[str, dict[str, Any]], values: dict[str, Any], minutes: float
) -> dict[str, Any]:
    """Train for `minutes` in all, and evaluate; gives the evaluation's figures."""
    began = time.monotonic()
    values = COMMON | values | {"compile": True}
    write_params(workspace, changes | {"train": values | {"images": _CALIBRATION, "save_every_images": _CALIBRATION}})
    speed = rate(run(workspace, "models", "train"))
    left = 60 * minutes - (time.monotonic() - began)
    images = int(0.93 * left * speed) // 4 * 4  # the rest: starting, compiling from its cache, saving, sample strips
    write_params(workspace, changes | {"train": values | {"images": images, "save_every_images": max(4, images // 8)}})
    run(workspace, "models", "train")
    took = time.monotonic() - began
    run(workspace, "models", "evaluate")
    found: dict[str, Any] = json.loads((workspace / "reports/evaluation.json").read_text())
    return {"minutes": round(took / 60, 1), "images": images, "mask": found["mask"], "unmask": found["unmask"]}


def main() -> None:
    parser = argparse.ArgumentParser(description="Train both generators on real faces for the same time.")
    parser.add_argument("faces", type=Path, metavar="FOLDER")
    parser.add_argument("--minutes", type=float, default=25.0, help="for each generator (default: %(default)s)")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="a new folder for data, checkpoints and pictures")
    parser.add_argument("--only", choices=GENERATORS, help="only this generator")
    options = parser.parse_args()
    faces = options.faces.resolve()
    with nullcontext(options.keep) if options.keep else tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder).resolve() / "w"
        workspace.mkdir(parents=True)
        changes = prepare(workspace, faces)
        found = {}
        for name, values in GENERATORS.items():
            if options.only in (None, name):
                found[name] = trained(workspace, changes, values, options.minutes)
                for made in ("checkpoints", "reports"):
                    shutil.copytree(workspace / made, workspace / name / made)
    if len(found) == len(GENERATORS):
        for direction in ("mask", "unmask"):
            ratio = found["guided"][direction]["kid"] / found["resnet"][direction]["kid"]
            found["guided"][direction]["kid_against_resnet"] = round(ratio, 3)
    print(json.dumps(found))


if __name__ == "__main__":
    os.umask(0o022)
    main()
