"""Checkpoints that facemask did not write: each is refused in one line, before anything is allocated for it."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from models.training import checkpoint
from models.training.checkpoint import load_generators, read_info
from pipeline.errors import FacemaskError
from pipeline.storage.files import sha256
from tests.models.conftest import write_checkpoint

MODEL = Path("model")


@pytest.fixture
def written():
    """The content of the checkpoint's JSON file."""
    write_checkpoint(MODEL)
    return json.loads((MODEL / "checkpoint.json").read_text())


def refusal(text):
    (MODEL / "checkpoint.json").write_text(text)
    with pytest.raises(FacemaskError) as caught:
        load_generators(MODEL)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "null", "1", '"text"', "{", "{}", "[" * 100_000, '{"schema": {}}'])
def test_a_file_that_is_not_a_checkpoint_description_is_refused(written, text):
    assert str(MODEL) in refusal(text)


@pytest.mark.parametrize("key", ["images_seen", "generator", "params", "pack_sha256", "weights_sha256", "data_licence"])
@pytest.mark.parametrize("value", ["missing", None, [], [1]])
def test_a_missing_key_or_a_value_of_a_wrong_type_is_refused_by_name(written, key, value):
    if value == "missing":
        del written[key]
    else:
        written[key] = value
    assert f"({key}" in refusal(json.dumps(written))


@pytest.mark.parametrize("key", ["image_px", "width", "blocks", "discriminator_width"])
@pytest.mark.parametrize("value", [10**7, 0, -1, 1.5, "many", None])
def test_an_architecture_outside_the_bounds_is_refused_before_it_is_allocated(written, key, value, monkeypatch):
    monkeypatch.setattr(checkpoint, "make_generator", lambda *_: pytest.fail("a network was allocated"))
    written["params"][key] = value
    assert f"(params.{key}: " in refusal(json.dumps(written))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(written, value):
    path = MODEL / "generator_mask.safetensors"
    weights = load_file(path)
    next(iter(weights.values())).view(-1)[0] = value
    save_file(weights, path)
    written["weights_sha256"]["generator_mask"] = sha256(path)
    assert "generator_mask.safetensors are not finite" in refusal(json.dumps(written))


def test_a_written_checkpoint_is_read_back(written):
    info = read_info(MODEL)
    assert (info.images_seen, info.weights_sha256) == (written["images_seen"], written["weights_sha256"])
    assert all(torch.isfinite(value).all() for value in load_file(MODEL / "generator_mask.safetensors").values())


def test_a_checkpoint_json_in_another_encoding_is_called_so(tmp_path):
    (tmp_path / "checkpoint.json").write_bytes("{}".encode("utf-16"))
    with pytest.raises(FacemaskError, match=r"checkpoint.json is not JSON in UTF-8: restore it"):
        checkpoint.read_info(tmp_path)
