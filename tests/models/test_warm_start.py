"""Warm start: the promoted model's weights are put aside for training when there is new data, and used if they fit."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file

from models import registry
from models.params import RetrainParams
from models.registry import Model, Registry
from models.training import checkpoint
from models.training import loop as train_module
from models.training.loop import train
from models.training.warm_start import start
from pipeline.errors import FacemaskError
from pipeline.storage.files import sha256
from tests.models.conftest import TINY
from tests.models.test_train import PACK, Killed, die_at, files_of

REGISTRY, START = Path("registry"), Path("data/start")
WARM, COLD = RetrainParams(warm_start=True, tolerance=0.02), RetrainParams(warm_start=False, tolerance=0.02)
NAMES = [*checkpoint.GENERATORS, *checkpoint.DISCRIMINATORS]


@pytest.fixture
def tiny():
    return TINY  # test_train.py trains both kinds


def model(name="v1", **values):
    about = {
        "registered": "2026-11-23T00:00:00+00:00", "checkpoint": "c" * 64, "started_from": None, "images_seen": 12,
        "data": "d" * 64, "split": {}, "basis": "b", "figures": {}, "verdict": "the first",
    }  # fmt: skip
    return Model(name=name, **(about | values))


@pytest.fixture
def promoted(pack, tiny):
    """A trained model that is promoted as v1; gives its weights' digests."""
    train(tiny, PACK, Path("checkpoints"), Path("training"))
    shutil.copytree("checkpoints", REGISTRY / "v1")
    registry.write(Registry("v1", (model(),)))
    return weights("checkpoints")


def weights(folder):
    return {name: sha256(Path(folder, f"{name}.safetensors")) for name in NAMES}


def go_on(params, to="out"):
    train(params, PACK, Path(to, "checkpoints"), Path(to, "training"), START)
    return files_of(to)


def first_weights(params, monkeypatch):
    """The weights that training begins with, with fresh optimisers and empty pools."""
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
            go_on(params)
    return found


def test_all_four_networks_start_from_the_promoted_models_and_nothing_else_does(promoted, tiny, monkeypatch):
    start(WARM, REGISTRY, START)
    saved = {name: load_file(Path("checkpoints", f"{name}.safetensors")) for name in NAMES}
    assert first_weights(tiny, monkeypatch) == {
        name: {key: value.tolist() for key, value in tensors.items()} for name, tensors in saved.items()
    }


def test_without_warm_start_the_promoted_model_is_not_looked_at(promoted, tiny):
    start(COLD, REGISTRY, START)
    assert [path.name for path in START.iterdir()] == ["start.json"]
    go_on(tiny)
    assert weights("out/checkpoints") == promoted
    assert json.loads(Path("out/checkpoints/checkpoint.json").read_text())["started_from"] is None


def test_the_checkpoints_json_says_which_model_it_started_from(promoted, tiny):
    start(WARM, REGISTRY, START)
    go_on(tiny)
    said = json.loads(Path("out/checkpoints/checkpoint.json").read_text())["started_from"]
    assert said == {"model": "v1", "checkpoint": sha256(Path("checkpoints/checkpoint.json"))}
    assert weights("out/checkpoints") != promoted


def test_networks_of_other_shapes_start_fresh_and_the_log_says_why(promoted, tiny, capsys):
    start(WARM, REGISTRY, START)
    wider = replace(tiny, width=8)
    go_on(wider)
    assert "model v1 is of another architecture (width 4 instead of 8): starting from fresh" in capsys.readouterr().out
    train(wider, PACK, Path("cold/checkpoints"), Path("cold/training"))
    assert weights("out/checkpoints") == weights("cold/checkpoints")


def test_a_model_of_an_earlier_facemask_is_not_started_from_and_the_log_says_why(promoted, tiny, capsys):
    path = REGISTRY / "v1/checkpoint.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema": 1}))
    start(WARM, REGISTRY, START)
    go_on(tiny)
    told = f"model v1 is of another facemask (schema 1, not {checkpoint.SCHEMA}): starting from fresh weights"
    assert told in capsys.readouterr().out


def test_where_no_model_is_promoted_training_starts_fresh(pack, tiny):
    start(WARM, REGISTRY, START)
    assert json.loads((START / "start.json").read_text()) == {"model": None, "checkpoint": None}
    go_on(tiny)


def test_a_resumed_warm_run_equals_an_uninterrupted_one(promoted, tiny, monkeypatch):
    start(WARM, REGISTRY, START)
    whole = go_on(tiny, "whole")
    with monkeypatch.context() as patch:
        die_at(patch, 6)
        with pytest.raises(Killed):
            go_on(tiny, "parts")
    assert go_on(tiny, "parts") == whole


def test_half_done_work_of_another_start_is_not_gone_on_with(promoted, tiny, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        die_at(patch, 6)
        with pytest.raises(Killed):
            train(tiny, PACK, Path("out/checkpoints"), Path("out/training"))
    start(WARM, REGISTRY, START)
    go_on(tiny)
    assert "resuming" not in capsys.readouterr().out


def test_promoted_weights_that_are_not_here_are_told_in_one_line(promoted):
    shutil.rmtree(REGISTRY / "v1")
    with pytest.raises(FacemaskError, match=r"model v1 are not here: bring them by 'dvc pull registry/v1.dvc'"):
        start(WARM, REGISTRY, START)
    assert not START.exists()


def test_a_data_start_that_is_not_there_is_told_in_one_line(pack, tiny):
    with pytest.raises(FacemaskError, match="run 'dvc repro start'"):
        go_on(tiny)
