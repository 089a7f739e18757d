"""The public package `facemask` used from outside the tree."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import facemask
from facemask import FacemaskError
from models import registry
from models.evaluation_report import Evaluation
from pipeline.tools.draw_bare_faces import draw_bare
from pipeline.version import VERSION
from tests.conftest import ROOT, inside
from tests.models.conftest import TINY, write_checkpoint

FACE, MASKED = (ROOT / f"models/inference/examples/{name}.jpg" for name in ("face", "masked"))


def python(folder: Path, *arguments: str) -> str:
    """Standard output and errors of this Python in `folder`, with the tree on its path."""
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.stdout


@pytest.fixture(scope="module")
def face() -> np.ndarray:
    return np.asarray(Image.open(FACE, formats=("JPEG",)).convert("RGB"))


@pytest.fixture(scope="module")
def curated(tmp_path_factory) -> tuple[Path, str]:
    """What docs/using.md shows, as a script outside the tree without a guard against being run again; what it printed.

    The folder is that which it has curated.
    """
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "photos").mkdir()
    for copy in ("photos/face.jpg", "anna.jpg"):
        shutil.copy(FACE, folder / copy)
    (shown,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/using.md").read_text(), re.DOTALL)
    (folder / "script.py").write_text(f"{shown}print(len(rows), bare.shape == pixels.shape)\n")
    return folder / "curated", python(folder, "script.py")


def test_importing_it_loads_nothing_heavy(tmp_path):
    heavy = ("torch", "prefect", "mediapipe", "cv2", "pandas", "dvc", "PIL")
    assert python(tmp_path, "-c", f"import facemask, sys; print([m for m in {heavy} if m in sys.modules])") == "[]\n"


def test_its_version_is_that_of_the_code():
    assert facemask.__version__ == VERSION


def test_every_public_name_is_documented():
    assert [name for name in facemask.__all__ if not getattr(facemask, name).__doc__] == []


def test_a_script_as_the_documents_show_it_runs_once(curated):
    _, told = curated
    assert told.endswith("\n1 True\n")
    assert told.count("1 images in photos") == 1  # worker processes do not run the script again


def test_the_manifest_of_a_curated_folder_is_a_data_frame(curated):
    rows = facemask.load_manifest(curated[0])
    assert isinstance(rows, pd.DataFrame)
    assert rows[["path", "accepted"]].to_numpy().tolist() == [["face.jpg", True]]
    assert rows["phash"].dtype == pd.UInt64Dtype()


def test_the_manifest_of_a_project_is_found(sample_workspace):
    rows = facemask.load_manifest(sample_workspace)
    assert rows.equals(facemask.load_manifest(sample_workspace / "data/manifest.parquet"))


@pytest.mark.parametrize("form", ["file", "text", "array", "picture"])
def test_a_photo_may_be_a_file_an_array_or_a_picture(face, form):
    image = {"file": FACE, "text": str(FACE), "array": face, "picture": Image.fromarray(face)}[form]
    masked = facemask.apply(image, kind="kn95", colour="#1f6feb", seed=1)
    assert masked.dtype == np.uint8 and masked.shape == face.shape
    assert np.array_equal(masked, facemask.apply(face, kind="kn95", colour="#1f6feb", seed=1))
    assert not np.array_equal(masked, face)


def test_the_given_array_is_not_changed(face):
    given = face.copy()
    facemask.apply(given, kind="kn95")
    assert np.array_equal(given, face)


def test_a_photo_without_a_face_comes_back_as_it_is():
    empty = np.full((64, 80, 3), 90, np.uint8)
    assert np.array_equal(facemask.apply(empty), empty)


def pixels_of(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path, formats=("JPEG",)).convert("RGB"))


@pytest.fixture
def project(tmp_path):
    """A project whose promoted model, v1, paints blue; the current folder."""
    write_checkpoint(tmp_path / "registry/v1", replace(TINY, method="cyclegan"))
    model = registry.Model("v1", "2026-11-23T00:00:00Z", "c" * 64, None, 9, "d", {}, "b", Evaluation(), "the first")
    registry.write(registry.Registry("v1", (model,)), tmp_path / "registry")
    with inside(tmp_path):
        yield tmp_path


def test_a_mask_is_taken_off_without_a_model_where_none_is_promoted(tmp_path):
    with inside(tmp_path):
        bare = facemask.apply(MASKED, unmask=True)
    assert np.array_equal(bare, draw_bare(pixels_of(MASKED)).pixels)
    assert not np.array_equal(bare, pixels_of(MASKED))


def test_the_promoted_model_takes_masks_off_unless_drawing_is_named(project):
    painted, drawn = facemask.apply(MASKED, unmask=True), facemask.apply(MASKED, model="drawing", unmask=True)
    assert np.array_equal(painted, facemask.apply(MASKED, model="v1", unmask=True))
    assert np.array_equal(drawn, draw_bare(pixels_of(MASKED)).pixels)
    assert not np.array_equal(painted, drawn)


def test_drawing_by_its_name_puts_masks_on_too(project, face):
    drawn = facemask.apply(face, model="drawing", kind="kn95", seed=1)
    assert np.array_equal(drawn, facemask.apply(face, kind="kn95", seed=1))


def test_a_model_puts_a_mask_on(project, face):
    assert not np.array_equal(facemask.apply(face, model="promoted"), face)


def test_the_model_without_a_name_is_the_promoted_one(project):
    model = facemask.load_model()
    assert (model.name, model.folder) == ("promoted", project / "registry/v1")
    assert model.directions == ("mask", "unmask")


def test_without_a_promoted_model_none_is_loaded(tmp_path):
    with inside(tmp_path), pytest.raises(FacemaskError, match="no model is promoted in this folder"):
        facemask.load_model()


def test_taking_masks_off_without_a_model_loads_no_torch(tmp_path):
    code = f"import facemask, sys; facemask.apply({str(MASKED)!r}, unmask=True); print('torch' in sys.modules)"
    assert python(tmp_path, "-c", code).splitlines()[-1] == "False"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"image": "none.jpg"}, "none.jpg: No such file"),
        ({"image": __file__}, "cannot be read as an image"),
        ({"image": np.zeros((4, 4), np.uint8)}, r"it must be \(H, W, 3\) of uint8"),
        ({"image": np.zeros((4, 4, 3), np.float32)}, r"it must be \(H, W, 3\) of uint8"),
        ({"image": np.zeros((0, 4, 3), np.uint8)}, r"it must be \(H, W, 3\) of uint8"),
        ({"image": np.zeros((1, 20_001, 3), np.uint8)}, "is larger than"),
        ({"kind": "veil"}, "no mask 'veil': kind is one of"),
        ({"colour": "red", "texture": "a.png"}, "a mask has a colour or a texture"),
        ({"kind": "kn95", "unmask": True}, "kind is for drawn masks"),
        ({"kind": "kn95", "unmask": True, "model": "drawing"}, "kind is for drawn masks"),
        ({"model": "v7"}, "v7 is neither a folder nor a model"),
    ],
)
def test_a_mistake_is_an_error_of_one_line(face, tmp_path, arguments, said):
    with inside(tmp_path), pytest.raises(FacemaskError, match=said) as raised:
        facemask.apply(**{"image": face} | arguments)
    assert "\n" not in str(raised.value)


def test_a_model_that_cannot_take_masks_off_is_refused(face):
    model = facemask.Model("v1", Path("none"), "simgan", 128, ("mask",), "")
    with pytest.raises(FacemaskError, match="model v1 only puts masks on"):
        facemask.apply(face, model=model, unmask=True)


def test_an_unknown_domain_is_refused(tmp_path):
    with pytest.raises(FacemaskError, match="no domain 'bare'"):
        facemask.curate(tmp_path, tmp_path / "out", domain="bare")


def test_where_no_manifest_is_the_error_says_what_to_name(tmp_path):
    with pytest.raises(FacemaskError, match="no manifest at"):
        facemask.load_manifest(tmp_path)
