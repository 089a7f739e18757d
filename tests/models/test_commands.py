"""Stages as processes: their imports, exit statuses, and results after kills."""

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

from models.training.preemption import STOPPED
from pipeline.storage.files import sha256
from tests.models.conftest import TINY, train_in

PROJECT = Path(__file__).parents[2]


def environment(work):
    return os.environ | {"PYTHONPATH": str(PROJECT), "FACEMASK_WORK": str(work), "OMP_NUM_THREADS": "1"}


def start(stage, work="work"):
    return subprocess.Popen(
        [sys.executable, "-m", "models", stage],
        env=environment(work),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def write_params(params):
    evaluate = {"images": 4, "batch_size": 4, "grid_faces": 1}
    Path("params.yaml").write_text(yaml.safe_dump({"train": asdict(params), "evaluate": evaluate}))
    Path("experiments").mkdir()
    Path("experiments/none.yaml").write_text("{}")


def finish(process):
    output, _ = process.communicate(timeout=900)
    return process.returncode, output


def weights(folder="checkpoints"):
    return {path.name: sha256(path) for path in Path(folder).glob("*.safetensors")}


def train_there(folder, params):
    """Train in the workspace `killed` of `folder`; runs in a process of the fork server."""
    os.chdir(folder)
    os.environ |= {"FACEMASK_WORK": str(folder / "killed"), "DVC_NO_ANALYTICS": "1"}
    torch.set_num_threads(1)
    train_in("killed", params)


def test_training_killed_twenty_times_ends_with_the_same_weights(pack, tmp_path):
    params = replace(TINY, images_per_domain=80, save_every_images=4)
    train_in("whole", params)
    server = get_context("forkserver")  # one process for each kill, without importing torch each time
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
    assert kills >= 5  # a fast machine ends the training before its twentieth kill
    assert weights("killed/checkpoints") == weights("whole/checkpoints")


@pytest.mark.parametrize("tiny", ["guided"], indirect=True)
def test_training_stopped_by_sigterm_saves_its_state_and_resumes_to_the_same_weights(pack, tiny):
    params = replace(tiny, images_per_domain=120, save_every_images=120)
    train_in("whole", params)
    write_params(params)
    process = start("train")
    for line in process.stdout:
        if " images, " in line:  # some steps are done, and no state is saved yet
            break
    process.terminate()
    status, output = finish(process)
    assert status == STOPPED
    assert "stopped, state saved at" in output
    assert finish(start("train"))[0] == 0
    assert weights() == weights("whole/checkpoints")


def train_with_two_processes():
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*command, "-m", "models", "train"], env=environment("work"), capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("method", ["guided", "simgan", "pix2pix"])
def test_two_processes_give_the_curves_of_one_with_the_joined_batch(pack, method):
    phases = replace(TINY.simgan, refiner_images=4, discriminator_images=4)  # a step each, and one for both
    params = replace(TINY, method=method, images_per_domain=12, batch_size=4, precision="float32", simgan=phases)
    train_in("whole", params)
    write_params(params)
    train_with_two_processes()
    one, two = (json.loads(Path(folder, "history.json").read_text()) for folder in ("whole/checkpoints", "checkpoints"))
    assert len(one) == len(two) == 3
    for alone, shared in zip(one, two, strict=True):
        assert shared == pytest.approx(alone, abs=1e-5)


def test_two_processes_train_a_method_with_batch_norm(pack):
    """Each has the statistics of its own part of the batch: the curves are not those of one process."""
    write_params(replace(TINY, method="fastgan", images_per_domain=12, batch_size=4))
    train_with_two_processes()
    assert len(json.loads(Path("checkpoints/history.json").read_text())) == 3


@pytest.mark.parametrize("tiny", ["guided"], indirect=True)
def test_an_error_is_one_line_and_exit_status_1(tiny):
    write_params(tiny)
    status, output = finish(start("train"))
    assert status == 1
    assert output == "facemask: error: no packed images in data/train: run 'dvc repro pack'\n"


def test_training_imports_no_landmarker_and_no_prefect():
    code = "import sys, models.training.loop; print(sorted({'mediapipe', 'prefect'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], env=environment("work"), capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_a_typo_in_the_block_of_evaluate_is_reported_before_the_training(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_params(TINY)
    Path("params.yaml").write_text(Path("params.yaml").read_text().replace("grid_faces", "grid_rows"))
    status, output = finish(start("train"))
    assert status == 1
    assert "key 'evaluate.grid_faces' is missing" in output
    assert "training on" not in output
