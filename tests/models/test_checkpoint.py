"""Checkpoints: what is saved is loaded, and what does not fit is refused in one line."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from models.methods.method import load_method
from models.training import checkpoint
from models.training.device import training_device
from models.training.optimisers import fresh_state
from models.training.state_files import is_whole_state
from pipeline.errors import FacemaskError
from pipeline.masks.mask_set import write_masks
from pipeline.storage.files import sha256
from tests.models.conftest import BLUE, TINY, plain_mask, train_in, with_masks, write_checkpoint

MADE = Path("checkpoints")


@pytest.fixture
def tiny(any_method):
    return any_method


@pytest.fixture
def made(pack, tiny):
    train_in(".", tiny)
    return sha256(pack / "pack.json")


def load(params, pack_sha256):
    networks = load_method(params.method).make_networks(params)
    state = fresh_state(networks, params, training_device(params))
    checkpoint.load(MADE, state, params, pack_sha256)
    return state


def refusal(params, pack_sha256):
    with pytest.raises(FacemaskError) as caught:
        load(params, pack_sha256)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_saved_state_is_loaded_with_pools_and_optimisers(made, tiny):
    state = load(tiny, made)
    assert state.images_seen == tiny.images_per_domain
    assert all(len(pool.images) == tiny.pool_size for pool in state.pools.values())
    assert all(optimiser.state_dict()["state"] for optimiser in state.optimisers.values())


def test_a_checkpoint_has_the_files_of_a_state_and_the_masks_that_its_method_draws(made, tiny):
    masks = {"masks.npy"} if tiny.method in ("guided", "simgan") else set()
    names = {path.name for path in MADE.iterdir()}
    assert masks <= names and is_whole_state(names - masks)


def test_the_masks_of_a_trained_checkpoint_are_those_of_its_pack(pack):
    train_in(".", TINY)
    assert (MADE / "masks.npy").read_bytes() == (pack / "masks.npy").read_bytes()
    assert len(checkpoint.load_masks(MADE, checkpoint.read_info(MADE))) == 1


def test_the_masks_of_a_checkpoint_are_those_that_it_was_given():
    folder = with_masks(write_checkpoint(Path("masks")), [plain_mask(BLUE)])
    (mask,) = checkpoint.load_masks(folder, checkpoint.read_info(folder))
    assert (mask.design.drawing[..., :3] == BLUE).all()


def test_a_checkpoint_without_masks_has_none_to_draw():
    folder = write_checkpoint(Path("none"))
    assert checkpoint.load_masks(folder, checkpoint.read_info(folder)) == []


@pytest.mark.parametrize("change", ["other", "missing"])
def test_masks_that_are_not_those_of_the_checkpoint_are_refused(change):
    folder = with_masks(write_checkpoint(Path("masks")), [plain_mask(BLUE)])
    info = checkpoint.read_info(folder)
    (folder / "masks.npy").unlink()
    if change == "other":
        write_masks(folder / "masks.npy", [])
    with pytest.raises(FacemaskError, match=r"masks\.npy is not the file that checkpoint\.json"):
        checkpoint.load_masks(folder, info)


@pytest.mark.parametrize("change", [{"width": 8}, {"blocks": 2}, {"discriminator_width": 8}])
def test_another_architecture_is_refused_in_one_line(made, tiny, change):
    (key,) = change
    assert f"another architecture ({key} " in refusal(replace(tiny, **change), made)


def test_another_method_is_refused_in_one_line(made, tiny):
    other = "cyclegan" if tiny.method == "guided" else "guided"
    assert f"method {tiny.method} instead of {other}" in refusal(replace(tiny, method=other), made)


def test_a_checkpoint_of_other_packed_images_is_refused(made, tiny):
    assert "trained on other packed images" in refusal(tiny, "0" * 64)


def test_a_checkpoint_of_another_schema_is_refused(made, tiny):
    path = MADE / checkpoint.JSON_NAME
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema": 99}))
    assert "schema 99" in refusal(tiny, made)


def test_changed_weights_are_refused(made, tiny):
    path = min(MADE.glob("generator_*.safetensors"))
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert f"{path.name} is not the file" in refusal(tiny, made)


def test_the_error_for_a_missing_checkpoint_says_what_to_run():
    with pytest.raises(FacemaskError, match="run 'dvc repro train'"):
        checkpoint.read_info(Path("nowhere"))


def test_an_interrupted_save_leaves_no_checkpoint_and_the_next_one_succeeds(made, tiny):
    state = load(tiny, made)

    def fail(digests):
        raise OSError

    def describe(digests):
        return replace(checkpoint.read_info(MADE), weights_sha256=digests)

    with pytest.raises(OSError):
        checkpoint.save(Path("next"), state, fail)
    assert not Path("next").exists()
    checkpoint.save(Path("next"), state, describe)
    assert checkpoint.read_info(Path("next")).weights_sha256 == checkpoint.read_info(MADE).weights_sha256
