"""The stages as processes: what they import, how they end, and that a kill costs nothing."""

import json
import os
import random
import subprocess
import sys
from dataclasses import asdict, replace
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch
import yaml

from models.training.loop import train
from models.training.preemption import STOPPED
from pipeline.storage.files import sha256
from tests.models.conftest import TINY

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


def write_params(params):
    Path("params.yaml").write_text(yaml.safe_dump({"train": asdict(params)}))
    Path("experiments").mkdir()
    Path("experiments/none.yaml").write_text("{}")


def finish(process):
    said, _ = process.communicate(timeout=60)
    return process.returncode, said


def weights(folder="checkpoints"):
    return {path.name: sha256(path) for path in Path(folder).glob("*.safetensors")}


def train_there(folder, params):
    """What a process of the fork server does."""
    os.chdir(folder)
    os.environ |= {"FACEMASK_WORK": str(folder / "killed"), "DVC_NO_ANALYTICS": "1"}
    torch.set_num_threads(1)
    train(params, Path("data/train"), Path("killed/checkpoints"), Path("killed/training"))


def test_killed_twenty_times_a_training_ends_with_the_same_weights(pack, tmp_path):
    params = replace(TINY, images=80, save_every_images=4)
    train(params, Path("data/train"), Path("whole"), Path("training"))
    server = get_context("forkserver")  # a process a kill, without importing torch each time
    server.set_forkserver_preload(["models.training.loop"])
    moments, kills = random.Random(4), 0
    while kills < 20 and not Path("killed/checkpoints").exists():
        process = server.Process(target=train_there, args=(tmp_path, params))
        process.start()
        process.join(moments.uniform(0.05, 0.6))
        kills += process.is_alive()
        process.kill()
        process.join()
    process = server.Process(target=train_there, args=(tmp_path, params))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert kills >= 5  # on a machine so fast that the training ended before its twentieth
    assert weights("killed/checkpoints") == weights("whole")


@pytest.mark.parametrize("tiny", ["guided"], indirect=True)
def test_told_to_stop_it_saves_and_goes_on_to_the_same_weights(pack, tiny):
    params = replace(tiny, images=120, save_every_images=120)
    train(params, Path("data/train"), Path("whole"), Path("training"))
    write_params(params)
    Path("data/start").mkdir()
    Path("data/start/start.json").write_text('{"model": null, "checkpoint": null}')
    process = start("train")
    for line in process.stdout:
        if " images, " in line:  # some steps are done, and no state is saved yet
            break
    process.terminate()
    status, said = finish(process)
    assert status == STOPPED
    assert "stopped, state saved at" in said
    assert finish(start("train"))[0] == 0
    assert weights() == weights("whole")


def test_two_processes_train_as_one_with_the_joined_batch(pack):
    params = replace(TINY, images=8, batch_size=4, precision="float32")
    train(params, Path("data/train"), Path("whole"), Path("training"))
    write_params(params)
    Path("data/start").mkdir()
    Path("data/start/start.json").write_text('{"model": null, "checkpoint": null}')
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*command, "-m", "models", "train"], env=environment("work"), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    one, two = (json.loads(Path(folder, "history.json").read_text()) for folder in ("whole", "checkpoints"))
    assert len(one) == len(two) == 2
    for alone, shared in zip(one, two, strict=True):
        assert shared == pytest.approx(alone, abs=1e-5)


@pytest.mark.parametrize("tiny", ["guided"], indirect=True)
def test_an_error_is_one_line_and_a_status(tiny):
    write_params(tiny)
    status, said = finish(start("train"))
    assert status == 1
    assert said == "facemask: error: no packed images in data/train: run 'dvc repro pack'\n"


def test_training_imports_no_landmarks_no_opencv_and_no_prefect():
    code = "import sys, models.training.loop; print(sorted({'cv2', 'mediapipe', 'prefect'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], env=environment("work"), capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
