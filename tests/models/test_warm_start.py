"""Warm start: stage `start` provides the promoted model's weights, and training uses them if they fit."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file

from models import registry
from models.evaluation_report import Evaluation
from models.params import RetrainParams
from models.registry import Model, Registry
from models.training import checkpoint
from models.training import loop as train_module
from models.training.warm_start import start
from pipeline.errors import FacemaskError
from pipeline.paths import Paths
from pipeline.storage.files import sha256
from tests.models.conftest import TINY, train_in
from tests.models.test_train import Killed, die_at, files_of

REGISTRY, START = Path("registry"), Path("data/start")
WARM, COLD = RetrainParams(warm_start=True, tolerance=0.02), RetrainParams(warm_start=False, tolerance=0.02)
NAMES = [*checkpoint.GENERATORS, *checkpoint.DISCRIMINATORS]


@pytest.fixture
def tiny():
    return TINY  # test_train.py covers both methods


def model(name="v1", **values):
    about = {
        "registered": "2026-11-23T00:00:00+00:00", "checkpoint": "c" * 64, "started_from": None, "images_seen": 12,
        "data": "d" * 64, "split": {}, "evaluation_id": "b", "metrics": Evaluation(), "verdict": "the first",
    }  # fmt: skip
    return Model(name=name, **(about | values))


@pytest.fixture
def promoted(pack, tiny):
    """A trained model, promoted as v1; returns its weights' digests."""
    train_in(".", tiny)
    shutil.copytree("checkpoints", REGISTRY / "v1")
    registry.write(Registry("v1", (model(),)))
    return weights("checkpoints")


def weights(folder):
    return {name: sha256(Path(folder, f"{name}.safetensors")) for name in NAMES}


def train_to(params, to="out"):
    train_in(to, params)
    return files_of(to)


def first_weights(params, monkeypatch):
    """The weights at the first step; asserts that the optimisers are new and the pools empty."""
    found = {}

    def stepping(state, *_):
        for name, network in state.networks.items():
            found[name] = {key: value.tolist() for key, value in network.state_dict().items()}
        assert not any(optimiser.state_dict()["state"] for optimiser in state.optimisers.values())
        assert not any(pool.images for pool in state.pools.values())
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(train_module, "train_step", stepping)
        with pytest.raises(Killed):
            train_to(params)
    return found


def test_all_four_networks_start_from_the_promoted_model_and_optimisers_and_pools_do_not(promoted, tiny, monkeypatch):
    start(WARM, Paths())
    saved = {name: load_file(Path("checkpoints", f"{name}.safetensors")) for name in NAMES}
    assert first_weights(tiny, monkeypatch) == {
        name: {key: value.tolist() for key, value in tensors.items()} for name, tensors in saved.items()
    }


def test_without_warm_start_the_promoted_model_is_not_used(promoted, tiny):
    start(COLD, Paths())
    assert [path.name for path in START.iterdir()] == ["start.json"]
    train_to(tiny)
    assert weights("out/checkpoints") == promoted
    assert json.loads(Path("out/checkpoints/checkpoint.json").read_text())["started_from"] is None


def test_checkpoint_json_names_the_model_that_training_started_from(promoted, tiny):
    start(WARM, Paths())
    train_to(tiny)
    started_from = json.loads(Path("out/checkpoints/checkpoint.json").read_text())["started_from"]
    assert started_from == {"model": "v1", "checkpoint": sha256(Path("checkpoints/checkpoint.json"))}
    assert weights("out/checkpoints") != promoted


def test_networks_of_other_shapes_start_new_and_the_log_gives_the_reason(promoted, tiny, capsys):
    start(WARM, Paths())
    wider = replace(tiny, width=8)
    train_to(wider)
    assert "model v1 is of another architecture (width 4 instead of 8): starting from new" in capsys.readouterr().out
    start(COLD, Paths())
    train_in("cold", wider)
    assert weights("out/checkpoints") == weights("cold/checkpoints")


def test_a_model_of_an_earlier_schema_is_not_used_and_the_log_gives_the_reason(promoted, tiny, capsys):
    path = REGISTRY / "v1/checkpoint.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema": 1}))
    start(WARM, Paths())
    train_to(tiny)
    message = (
        f"model v1 is of another version of facemask (schema 1, not {checkpoint.SCHEMA}): starting from new weights"
    )
    assert message in capsys.readouterr().out


def test_without_a_promoted_model_training_starts_new(pack, tiny):
    start(WARM, Paths())
    assert json.loads((START / "start.json").read_text()) == {"model": None, "checkpoint": None}
    train_to(tiny)


def test_resumed_training_equals_uninterrupted_after_a_warm_start(promoted, tiny, monkeypatch):
    start(WARM, Paths())
    whole = train_to(tiny, "whole")
    with monkeypatch.context() as patch:
        die_at(patch, 6)
        with pytest.raises(Killed):
            train_to(tiny, "parts")
    assert train_to(tiny, "parts") == whole


def test_unfinished_work_with_another_start_is_not_resumed(promoted, tiny, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        die_at(patch, 6)
        with pytest.raises(Killed):
            train_in("out", tiny)
    start(WARM, Paths())
    train_to(tiny)
    assert "resuming" not in capsys.readouterr().out


def test_missing_weights_of_the_promoted_model_are_refused(promoted):
    shutil.rmtree(REGISTRY / "v1")
    with pytest.raises(FacemaskError, match=r"model v1 are not in registry/v1: run 'dvc pull registry/v1.dvc'"):
        start(WARM, Paths())
    assert json.loads((START / "start.json").read_text())["model"] is None  # the earlier one


def test_a_missing_start_json_is_refused(pack, tiny):
    shutil.rmtree(START)
    with pytest.raises(FacemaskError, match="run 'dvc repro start'"):
        train_to(tiny)
