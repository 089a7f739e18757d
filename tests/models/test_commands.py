"""The stages as processes: what they import, how they end, and that a kill costs nothing."""

import os
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import yaml

from pipeline.files import sha256

HOUSE = Path(__file__).parents[2]


def environment(work):
    return os.environ | {"PYTHONPATH": str(HOUSE), "FACEMASK_WORK": str(work), "OMP_NUM_THREADS": "1"}


def start(stage, work="work"):
    return subprocess.Popen(
        [sys.executable, "-m", "models", stage],
        env=environment(work),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process):
    said, _ = process.communicate(timeout=60)
    return process.returncode, said


def weights():
    return {path.name: sha256(path) for path in Path("checkpoints").glob("*.safetensors")}


@pytest.mark.parametrize("tiny", ["guided"], indirect=True)  # test_train.py resumes both
def test_killed_in_mid_training_the_same_command_ends_with_the_same_weights(pack, tiny):
    Path("params.yaml").write_text(yaml.safe_dump({"train": asdict(replace(tiny, images=60, save_every_images=12))}))
    Path("data/start").mkdir()
    Path("data/start/start.json").write_text('{"model": null, "checkpoint": null}')
    assert finish(start("train", "elsewhere"))[0] == 0
    uninterrupted = weights()

    process = start("train")
    deadline = time.monotonic() + 60
    while not list(Path("work/train").glob("*/state-*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    assert finish(process)[0] == -9
    assert list(Path("work/train").glob("*/state-*"))

    status, said = finish(start("train"))
    assert status == 0
    assert "resuming at" in said
    assert weights() == uninterrupted


@pytest.mark.parametrize("tiny", ["guided"], indirect=True)
def test_an_error_is_one_line_and_a_status(tiny):
    Path("params.yaml").write_text(yaml.safe_dump({"train": asdict(tiny)}))
    status, said = finish(start("train"))
    assert status == 1
    assert said == "facemask: error: no packed images in data/train: run 'dvc repro pack'\n"


def test_training_imports_no_landmarks_no_opencv_and_no_prefect():
    code = "import sys, models.train; print(sorted({'cv2', 'mediapipe', 'prefect'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], env=environment("work"), capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
