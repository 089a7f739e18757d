"""The presets of experiments/: params.yaml's block `train`, with a file's values in place of some."""

from pathlib import Path

import pytest
import yaml

from models.params import train_params
from pipeline.errors import FacemaskError
from tests.closure import ROOT


@pytest.fixture
def project():
    """This project's own parameters and presets; gives a function that names a preset."""
    Path("experiments").symlink_to(ROOT / "experiments")
    values = yaml.safe_load((ROOT / "params.yaml").read_text())

    def use(preset, **changes):
        Path("params.yaml").write_text(
            yaml.safe_dump(values | {"train": values["train"] | {"preset": preset, **changes}})
        )
        return train_params()

    return use


def test_without_a_preset_the_block_stands_as_it_is(project):
    assert project("none", width=48).width == 48


@pytest.mark.parametrize(
    ("preset", "image_px", "batch_size", "schedule", "epochs", "blocks"),
    [
        ("study-128", 128, 14, "linear", 80, 6),
        ("study-256-plateau", 256, 8, "plateau", 130, 9),
        ("study-256", 256, 16, "linear", 200, 9),
    ],
)
def test_the_original_studys_trials_are_presets(project, preset, image_px, batch_size, schedule, epochs, blocks):
    params = project(preset)
    found = (params.generator, params.image_px, params.batch_size, params.schedule, params.blocks)
    assert found == ("resnet", image_px, batch_size, schedule, blocks)
    assert params.images == epochs * 6000  # the study's faces a domain
    assert (params.lambda_cycle, params.lambda_identity, params.pool_size, params.learning_rate) == (10, 0.5, 50, 2e-4)


def test_a_preset_leaves_what_it_does_not_name(project):
    assert project("study-128", seed=9).seed == 9


def test_a_preset_that_is_not_there_is_told_with_those_that_are(project):
    with pytest.raises(FacemaskError, match=r"no preset experiments/mine.yaml: .*none, study-128, study-256, "):
        project("mine")


def test_an_unknown_key_in_a_preset_is_told_by_its_file(project):
    Path("experiments").unlink()
    Path("experiments").mkdir()
    Path("experiments/mine.yaml").write_text("widht: 3")
    with pytest.raises(FacemaskError, match=r"experiments/mine.yaml: key 'train.widht' is unknown"):
        project("mine")


def test_params_without_a_preset_are_told(project):
    with pytest.raises(FacemaskError, match=r"params.yaml: key 'train.preset' is missing"):
        values = yaml.safe_load((ROOT / "params.yaml").read_text())
        del values["train"]["preset"]
        Path("params.yaml").write_text(yaml.safe_dump(values))
        train_params()
