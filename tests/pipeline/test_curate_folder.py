import json
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from tests.pipeline.test_workers import runs, wait_until

from pipeline.errors import FacemaskError
from pipeline.report.sprite_sheets import PER_SHEET
from pipeline.tools.curate_folder import curate_folder, find_sources
from tests.conftest import ROOT
from tests.pipeline.strangers import EPS

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


def test_what_strangers_put_into_a_folder_is_a_row_each_and_never_hangs(folder, tmp_path, fake_ghostscript):
    source = tmp_path / "faces"
    source.mkdir()
    plain = sorted((folder / "ffhq/00000").iterdir())[0]
    (source / plain.name).write_bytes(plain.read_bytes())
    (source / "eps.jpg").write_bytes(EPS)
    (source / "sparse.png").touch()
    os.truncate(source / "sparse.png", 30_000_000_000)
    os.mkfifo(source / "fifo.png")
    curate_folder(source, tmp_path / "out", "unmasked", DEMO)
    rows = pd.read_parquet(tmp_path / "out/manifest.parquet").set_index("path")
    assert set(rows.index) == {plain.name, "eps.jpg", "sparse.png"}
    assert [list(rows.at[name, "reasons"]) for name in ("eps.jpg", "sparse.png")] == [["unreadable"]] * 2
    assert not fake_ghostscript.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="finds the workers in /proc")
@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGKILL])
def test_the_workers_of_a_stopped_curate_end(folder, tmp_path, sent):
    command = [sys.executable, "-m", "flows.cli", "curate", str(folder), "--out", str(tmp_path / "out")]
    process = subprocess.Popen(
        [*command, "--params", str(DEMO)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    with process:
        wait_until(lambda: len(children.read_text().split()) > os.cpu_count(), "the workers start")  # and a tracker
        workers = [int(pid) for pid in children.read_text().split()]
        process.send_signal(sent)
        if sent == signal.SIGTERM:
            assert process.stderr.read() == "facemask: stopped: the same command goes on from here\n"
            assert process.wait() == 128 + signal.SIGTERM
    wait_until(lambda: not any(map(runs, workers)), "the workers end")
