import tomllib

import pytest

from pipeline import params
from pipeline.errors import FacemaskError
from pipeline.storage.pack_params import PackParams
from tests.conftest import ROOT


def load(tmp_path, text):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    return params.load("pack", PackParams, path)


def test_a_block_becomes_its_dataclass(tmp_path):
    assert load(tmp_path, "pack: {load_px: 64}") == PackParams(load_px=64)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pack: {load_px: 64, colour: red}", "key 'pack.colour' is unknown"),
        ("pack: {}", "key 'pack.load_px' is missing"),
        ("pack: {load_px: big}", "'pack.load_px' is 'big'"),
        ("pack: {load_px: 5}", "'pack.load_px' is 5"),
        ("train: {}", "no block 'pack'"),
        ("pack: [", "not valid YAML"),
        ("", "no block 'pack'"),
    ],
)
def test_an_invalid_block_is_an_error_that_names_the_key_in_one_line(tmp_path, text, expected):
    with pytest.raises(FacemaskError) as error:
        load(tmp_path, text)
    assert expected in str(error.value)
    assert str(tmp_path / "params.yaml") in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_an_error_that_says_where_to_run(tmp_path):
    with pytest.raises(FacemaskError, match="run from the project's folder"):
        params.load("pack", PackParams, tmp_path / "params.yaml")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("pack: {load_px: 286}".encode("utf-16"), "is not UTF-8 text (byte 1): save it as UTF-8"),
        ("# für\npack: {}".encode("latin-1"), "is not UTF-8 text (byte 4): save it as UTF-8"),
        (b"pack: 2020-13-45", "is not valid YAML (month must be in 1..12): correct it, then run again"),
        (b"[" * 5000, "is not valid YAML (maximum recursion depth exceeded"),
        (b"\x00", "is not valid YAML near line 0: correct it, then run again"),
    ],
)
def test_a_file_in_another_encoding_or_form_is_an_error_of_one_line(tmp_path, content, expected):
    (tmp_path / "params.yaml").write_bytes(content)
    with pytest.raises(FacemaskError) as raised:
        params.load("pack", PackParams, tmp_path / "params.yaml")
    assert expected in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_byte_order_mark_does_not_matter(tmp_path):
    (tmp_path / "params.yaml").write_bytes(b"\xef\xbb\xbfpack: {load_px: 286}")
    assert params.load("pack", PackParams, tmp_path / "params.yaml").load_px == 286


def test_the_default_parameters_are_the_project_s_own_and_in_a_wheel_those_that_it_installs(tmp_path, monkeypatch):
    assert params.default_file().samefile(ROOT / "params.yaml")
    installed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["data-files"]
    (folder,) = (folder for folder, files in installed.items() if "params.yaml" in files)
    monkeypatch.setattr(params, "__file__", str(tmp_path / "site-packages/pipeline/params.py"))
    monkeypatch.setattr(params.sysconfig, "get_path", {"data": str(tmp_path)}.get)
    assert params.default_file() == tmp_path / folder / "params.yaml"
