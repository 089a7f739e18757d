"""params.yaml as a whole: what the project ships, and what a run refuses before its first stage."""

import shutil

import pytest

from flows.params_check import check_params
from pipeline.errors import FacemaskError
from tests.conftest import ROOT
from tests.flows.conftest import python

GIVEN = {"params.yaml": "params.yaml", "the demo": "flows/demo_params.yaml"}


def project(folder, params="params.yaml"):
    """A folder with the project's presets and one of its params files."""
    shutil.copytree(ROOT / "experiments", folder / "experiments")
    shutil.copy(ROOT / params, folder / "params.yaml")
    return folder


def changed(folder, *changes):
    """Replace strings of params.yaml."""
    text = (folder / "params.yaml").read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "params.yaml").write_text(text)
    return folder


@pytest.mark.parametrize("params", GIVEN.values(), ids=GIVEN)
def test_the_blocks_that_the_project_ships_are_valid(tmp_path, params):
    check_params(project(tmp_path, params))


def test_all_keys_at_fault_are_named_in_one_line(tmp_path):
    folder = changed(project(tmp_path), ("grid_faces:", "grid_rows:"), ("  tolerance: 0.02", "  tolerance: 2"))
    with pytest.raises(FacemaskError) as raised:
        check_params(folder)
    for fault in ("'evaluate.grid_rows' is unknown", "'evaluate.grid_faces' is missing", "'retrain.tolerance' is 2"):
        assert fault in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_preset_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(FacemaskError, match="there is no preset"):
        check_params(changed(project(tmp_path), ("preset: none", "preset: study-64")))


def test_a_run_with_a_typo_in_the_last_block_does_no_stage(toy, prefect_env):
    with (toy / "params.yaml").open("a") as file:
        file.write("evaluate: {images: 4, batch_size: 4, grid_faces: 1, minutes: null}\n")
    done = python("-m", "flows.local_server.run", cwd=toy, env=prefect_env)
    assert done.returncode == 1
    assert "key 'evaluate.minutes' is unknown: correct it, then run again" in done.stdout
    assert "stage 1 of" not in done.stdout
    assert not (toy / "ran.log").exists()
