import json
import zipfile

import pandas as pd
import pytest

from pipeline.errors import FacemaskError
from pipeline.folder import curate_folder, find_sources
from pipeline.page.sheets import PER_SHEET
from tests.conftest import ROOT

DEMO = ROOT / "flows/demo_params.yaml"


@pytest.fixture(scope="module")
def folder(sample_workspace, tmp_path_factory):
    """The sample as plain folders ffhq/ and maskedface/, and a file that is no image."""
    folder = tmp_path_factory.mktemp("folder")
    for source in ("ffhq", "maskedface"):
        for archive in (sample_workspace / "data/raw" / source).glob("*.zip"):
            with zipfile.ZipFile(archive) as members:
                members.extractall(folder / source)
    (folder / "ffhq/notes.txt").write_text("no image")
    return folder


@pytest.fixture(scope="module")
def out(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    curate_folder(folder, out, None, DEMO)
    return out


def test_a_folder_gets_the_same_verdicts_as_the_pipeline(out, sample_workspace):
    columns = ["image_id", "accepted", "dup_of", "split", "phash"]
    found, expected = (
        pd.read_parquet(path, columns=columns)
        for path in (out / "manifest.parquet", sample_workspace / "data/manifest.parquet")
    )
    pd.testing.assert_frame_equal(found, expected)


def test_it_ends_with_a_page_that_shows_pictures(out):
    image_ids = json.loads((out / "index.data/ids.json").read_text())
    assert sorted(image_ids) == sorted(pd.read_parquet(out / "manifest.parquet")["image_id"])
    assert len(list((out / "index.data/sheets").rglob("*.jpg"))) == -(-len(image_ids) // PER_SHEET)


def test_a_folder_with_no_known_layout_asks_for_the_domain(folder):
    with pytest.raises(FacemaskError, match="--domain masked or --domain unmasked"):
        find_sources(folder / "ffhq/00000", None)


@pytest.mark.parametrize(("inner", "domain"), [("ffhq", "unmasked"), ("maskedface", "masked")])
def test_a_layout_tells_the_domain(folder, inner, domain):
    assert [(source.name, source.domain) for source in find_sources(folder / inner, None)] == [(inner, domain)]


def test_a_folder_without_images_is_told(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(FacemaskError, match="holds no images"):
        curate_folder(tmp_path, tmp_path / "out", "masked", DEMO)


def test_no_folder_is_told(tmp_path):
    with pytest.raises(FacemaskError, match="is no folder"):
        curate_folder(tmp_path / "nowhere", tmp_path / "out", None, DEMO)


def test_a_file_that_cannot_be_read_is_a_row_and_not_the_end(folder, tmp_path):
    source = tmp_path / "faces"
    source.mkdir()
    plain = sorted((folder / "ffhq/00000").iterdir())[0]
    (source / plain.name).write_bytes(plain.read_bytes())
    (source / "link.png").symlink_to(tmp_path / "nowhere.png")
    curate_folder(source, tmp_path / "out", "unmasked", DEMO)
    rows = pd.read_parquet(tmp_path / "out/manifest.parquet").set_index("path")
    assert list(rows.at["link.png", "reasons"]) == ["unreadable"]
