"""Presets: files of experiments/, which replace values of the block `train`."""

import re
from pathlib import Path

import pytest
import yaml

from models.params import train_params, values_used
from pipeline.errors import FacemaskError
from tests.closure import ROOT


@pytest.fixture
def project():
    """This project's parameters and presets; returns a function that sets a preset and reads the block."""
    Path("experiments").symlink_to(ROOT / "experiments")
    values = yaml.safe_load((ROOT / "params.yaml").read_text())

    def use(preset, **changes):
        Path("params.yaml").write_text(
            yaml.safe_dump(values | {"train": values["train"] | {"preset": preset, **changes}})
        )
        return train_params()

    return use


def test_params_yaml_names_all_presets():
    comments = (ROOT / "params.yaml").read_text().partition("  preset:")[2].partition("  method:")[0]
    named = set(re.findall(r"[a-z0-9-]+", comments))
    assert {preset.stem for preset in (ROOT / "experiments").glob("*.yaml")} <= named


def test_preset_none_changes_nothing(project):
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
    params = project(preset, method="cyclegan")
    found = (params.method, params.image_px, params.batch_size, params.schedule, params.blocks)
    assert found == ("cyclegan", image_px, batch_size, schedule, blocks)
    assert params.images_per_domain == epochs * 6000  # the study's faces a domain
    assert (params.lambda_cycle, params.lambda_identity, params.pool_size, params.learning_rate) == (10, 0.5, 50, 2e-4)


def test_a_preset_keeps_values_that_it_does_not_contain(project):
    assert project("study-128", method="cyclegan", seed=9).seed == 9


def test_an_unknown_preset_is_refused_with_a_list_of_the_known_ones(project):
    with pytest.raises(FacemaskError, match=r"no preset experiments/mine.yaml: .*none, .*study-128, study-256, "):
        project("mine")


def test_an_unknown_key_in_a_preset_is_refused_with_its_file(project):
    Path("experiments").unlink()
    Path("experiments").mkdir()
    Path("experiments/mine.yaml").write_text("widht: 3")
    with pytest.raises(FacemaskError, match=r"experiments/mine.yaml: key 'train.widht' is unknown"):
        project("mine")


def test_a_missing_key_preset_is_refused(project):
    with pytest.raises(FacemaskError, match=r"params.yaml: key 'train.preset' is missing"):
        values = yaml.safe_load((ROOT / "params.yaml").read_text())
        del values["train"]["preset"]
        Path("params.yaml").write_text(yaml.safe_dump(values))
        train_params()


def test_a_preset_of_another_method_is_refused(project):
    with pytest.raises(FacemaskError, match=r"study-128.yaml is for method cyclegan, .*is guided: set it to cyclegan"):
        project("study-128")


@pytest.mark.parametrize("method", ["guided", "cyclegan", "simgan", "pix2pix", "fastgan"])
def test_a_key_of_another_method_is_refused_by_name(project, method):
    own = yaml.safe_load((ROOT / "params.yaml").read_text())["train"][method]
    with pytest.raises(FacemaskError, match=rf"key 'train\.{method}\.lambda_of_another' is unknown"):
        project("none", method=method, **{method: own | {"lambda_of_another": 3.0}})
    with pytest.raises(FacemaskError, match=r"key 'train\.lambda_matte' is unknown"):
        project("none", method=method, lambda_matte=3.0)


@pytest.mark.parametrize("method", ["simgan", "pix2pix"])
def test_the_other_methods_that_the_study_named_have_a_preset(project, method):
    params = project(f"{method}-128", method=method)
    assert (params.method, params.image_px, params.loss) == (method, 128, "vanilla")


@pytest.mark.parametrize("image_px", [64, 256])
def test_new_faces_have_a_preset_for_a_processor_and_one_for_a_gpu(project, image_px):
    params = project(f"fastgan-{image_px}", method="fastgan")
    assert (params.method, params.image_px, params.pool_size) == ("fastgan", image_px, 0)


@pytest.mark.parametrize("pairs", [True, "rendered", "both"])
def test_pairs_are_true_or_rendered_or_both(project, pairs):
    own = {"lambda_l1": 100.0, "lambda_matte": 3.0, "pairs": pairs}
    assert project("none", method="pix2pix", pix2pix=own).pix2pix.pairs == pairs


def test_other_pairs_are_refused(project):
    with pytest.raises(FacemaskError, match=r"train\.pix2pix\.pairs"):
        project("none", method="pix2pix", pix2pix={"lambda_l1": 100.0, "lambda_matte": 3.0, "pairs": False})


def test_values_used_are_those_of_the_own_method_only(project):
    assert "guided" not in values_used(project("none", method="cyclegan"))
    assert values_used(project("none"))["guided"].keys() == {"lambda_drawing"}
