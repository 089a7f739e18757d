import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from functools import partial
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml

from pipeline.errors import FacemaskError
from pipeline.report.sprite_sheets import PER_SHEET
from pipeline.storage.files import locked, sha256
from pipeline.tools import measured_files
from pipeline.tools.curate_folder import curate_folder
from tests.conftest import ROOT
from tests.pipeline.strangers import EPS
from tests.pipeline.test_worker_pool import is_running, wait_until

DEMO = ROOT / "flows/demo_params.yaml"


@pytest.fixture(scope="module")
def folder(sample_workspace, tmp_path_factory):
    """The sample in the folders ffhq/ and maskedface/, and a file that is not an image."""
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


def test_a_folder_gets_the_same_verdicts_as_in_the_pipeline(out, sample_workspace):
    columns = ["image_id", "accepted", "dup_of", "split", "phash"]
    found, expected = (
        pd.read_parquet(path, columns=columns)
        for path in (out / "manifest.parquet", sample_workspace / "data/manifest.parquet")
    )
    pd.testing.assert_frame_equal(found, expected)


def test_the_page_has_every_image(out):
    image_ids = json.loads((out / "index.data/ids.json").read_text())
    assert sorted(image_ids) == sorted(pd.read_parquet(out / "manifest.parquet")["image_id"])
    assert len(list((out / "index.data/sheets").rglob("*.jpg"))) == -(-len(image_ids) // PER_SHEET)


def test_a_folder_of_unknown_layout_needs_a_domain(folder, tmp_path):
    with pytest.raises(FacemaskError, match="--domain masked or --domain unmasked"):
        curate_folder(folder / "ffhq/00000", tmp_path / "out", None, DEMO)


def test_a_folder_without_images_is_an_error(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(FacemaskError, match="has no images"):
        curate_folder(tmp_path, tmp_path / "out", "masked", DEMO)


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(FacemaskError, match="nowhere does not exist: name a folder of images"):
        curate_folder(tmp_path / "nowhere", tmp_path / "out", None, DEMO)


@pytest.mark.parametrize("out", ["out", "deep/out", "."])
def test_the_sprite_sheets_of_an_earlier_run_are_not_images(one_face, out):
    for place in (out, out, "another"):
        curate_folder(one_face, one_face / place, "unmasked", DEMO)
        assert len(pd.read_parquet(one_face / place / "manifest.parquet")) == 1


def test_a_loop_of_links_is_a_row(one_face, tmp_path):
    (one_face / "a.png").symlink_to("b.png")
    (one_face / "b.png").symlink_to("a.png")
    curate_folder(one_face, tmp_path / "out", "unmasked", DEMO)
    rows = pd.read_parquet(tmp_path / "out/manifest.parquet").set_index("path")
    assert [list(rows.at[name, "reasons"]) for name in ("a.png", "b.png")] == [["unreadable"]] * 2


def test_an_unreadable_file_is_a_row(folder, tmp_path):
    source = tmp_path / "faces"
    source.mkdir()
    face = sorted((folder / "ffhq/00000").iterdir())[0]
    (source / face.name).write_bytes(face.read_bytes())
    (source / "link.png").symlink_to(tmp_path / "nowhere.png")
    curate_folder(source, tmp_path / "out", "unmasked", DEMO)
    rows = pd.read_parquet(tmp_path / "out/manifest.parquet").set_index("path")
    assert list(rows.at["link.png", "reasons"]) == ["unreadable"]


def test_each_hostile_file_is_a_row(folder, tmp_path, fake_ghostscript):
    source = tmp_path / "faces"
    source.mkdir()
    face = sorted((folder / "ffhq/00000").iterdir())[0]
    (source / face.name).write_bytes(face.read_bytes())
    (source / "eps.jpg").write_bytes(EPS)
    (source / "sparse.png").touch()
    os.truncate(source / "sparse.png", 30_000_000_000)
    os.mkfifo(source / "fifo.png")
    curate_folder(source, tmp_path / "out", "unmasked", DEMO)
    rows = pd.read_parquet(tmp_path / "out/manifest.parquet").set_index("path")
    assert set(rows.index) == {face.name, "eps.jpg", "sparse.png"}
    assert [list(rows.at[name, "reasons"]) for name in ("eps.jpg", "sparse.png")] == [["unreadable"]] * 2
    assert not fake_ghostscript.exists()


@pytest.fixture
def one_face(folder, tmp_path):
    """A folder with one image."""
    face = sorted((folder / "ffhq/00000").iterdir())[0]
    (tmp_path / "faces").mkdir()
    shutil.copy(face, tmp_path / "faces")
    return tmp_path / "faces"


def test_a_file_name_that_is_not_utf8_is_left_out_with_one_line(one_face, tmp_path, capsys):
    (one_face / os.fsdecode(b"caf\xe9.png")).write_bytes(b"1")
    curate_folder(one_face, tmp_path / "out", "unmasked", DEMO)
    assert len(pd.read_parquet(tmp_path / "out/manifest.parquet")) == 1
    assert (
        r"1 files left out (names that are not UTF-8): rename them; the first is caf\xe9.png" in capsys.readouterr().out
    )


def test_a_folder_whose_name_is_not_utf8_is_an_error_of_one_line(one_face, tmp_path):
    folder = one_face.rename(tmp_path / os.fsdecode(b"caf\xe9"))
    with pytest.raises(FacemaskError, match=r"caf\\xe9 is not UTF-8: rename it"):
        curate_folder(folder, tmp_path / "out", "unmasked", DEMO)


def test_a_second_run_replaces_the_results_of_the_first(one_face, tmp_path):
    curate_folder(one_face, tmp_path / "out", "unmasked", DEMO)
    (one_face / "more.png").write_bytes(b"not an image")
    curate_folder(one_face, tmp_path / "out", "unmasked", DEMO)
    assert len(pd.read_parquet(tmp_path / "out/manifest.parquet")) == 2


@pytest.fixture
def two_faces(folder, one_face):
    """A folder with two images."""
    shutil.copy(sorted((folder / "ffhq/00000").iterdir())[1], one_face)
    return one_face


def test_a_second_run_with_other_limits_measures_nothing(two_faces, tmp_path, monkeypatch):
    curate_folder(two_faces, tmp_path / "out", "unmasked", DEMO)

    def measured(*_):
        raise AssertionError("an image is measured again")

    monkeypatch.setattr("pipeline.tools.measured_files.open_workers", measured)
    stricter = yaml.safe_load(DEMO.read_text())
    stricter["curate"]["min_px"] = 5000
    (tmp_path / "stricter.yaml").write_text(yaml.safe_dump(stricter))
    before = pd.read_parquet(tmp_path / "out/manifest.parquet")
    page = curate_folder(two_faces, tmp_path / "out", "unmasked", DEMO)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "out/manifest.parquet"), before)
    assert len(json.loads((page.parent / "index.data/ids.json").read_text())) == 2
    with pytest.raises(FacemaskError, match="none of 2 images was accepted as unmasked"):
        curate_folder(two_faces, tmp_path / "out", "unmasked", tmp_path / "stricter.yaml")


@pytest.mark.parametrize("change", ["new", "changed", "cut"])
def test_only_new_and_changed_images_are_measured_again(two_faces, tmp_path, capsys, change):
    curate_folder(two_faces, tmp_path / "out", "unmasked", DEMO)
    capsys.readouterr()
    first, second = sorted(two_faces.iterdir())
    if change == "new":
        shutil.copy(second, two_faces / "third.png")
    elif change == "changed":
        first.write_bytes(second.read_bytes())
    else:  # what a full disk leaves
        (table,) = (tmp_path / "out/index.measured").iterdir()
        table.write_bytes(table.read_bytes()[:100])
    curate_folder(two_faces, tmp_path / "out", "unmasked", DEMO)
    before = {"new": 2, "changed": 1, "cut": 0}[change]
    assert f"curate: {before} images were measured before" in capsys.readouterr().out
    rows = pd.read_parquet(tmp_path / "out/manifest.parquet").set_index("path")
    files = {path.name: sha256(path) for path in two_faces.iterdir()}
    assert rows["sha256"].to_dict() == files


def test_measurements_of_images_that_are_gone_are_removed(two_faces, tmp_path):
    curate_folder(two_faces, tmp_path / "out", "unmasked", DEMO)
    for path in two_faces.iterdir():
        path.rename(path.with_name(f"renamed-{path.name}"))
    curate_folder(two_faces, tmp_path / "out", "unmasked", DEMO)
    tables = (tmp_path / "out/index.measured").iterdir()
    assert sum(pq.read_metadata(table).num_rows for table in tables) == 2


def test_a_wrong_domain_is_an_error_that_names_the_right_one_and_the_page(two_faces, tmp_path):
    with pytest.raises(FacemaskError) as error:
        curate_folder(two_faces, tmp_path / "out", "masked", DEMO)
    assert "as unmasked ones 2 pass all rules: try --domain unmasked; " in str(error.value)
    assert f"{tmp_path}/out/index.html shows why" in str(error.value)
    assert (tmp_path / "out/index.html").is_file()


def test_a_wrong_domain_keeps_the_earlier_result(two_faces, tmp_path):
    curate_folder(two_faces, tmp_path / "out", "unmasked", DEMO)
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    with pytest.raises(FacemaskError, match=r"the earlier result is kept: .*index\.html"):
        curate_folder(two_faces, tmp_path / "out", "masked", DEMO)
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()} == before


def test_where_the_other_domain_fits_more_images_a_line_says_so(folder, two_faces, tmp_path, capsys):
    masked = next(path for path in sorted((folder / "maskedface").rglob("*_Mask.jpg")))
    shutil.copy(masked, two_faces)
    curate_folder(two_faces, tmp_path / "out", "masked", DEMO)
    said = capsys.readouterr().out
    assert (
        "curate: as masked faces 1 of 3 images pass all rules, as unmasked ones 2 would: is it --domain unmasked?"
        in said
    )


@pytest.mark.parametrize("name", ["index.html", "index.data/notes.txt", "index.measured/notes.txt", "manifest.parquet"])
def test_files_of_others_are_neither_replaced_nor_removed(one_face, tmp_path, name):
    foreign = tmp_path / "out" / name
    foreign.parent.mkdir(parents=True)
    foreign.write_text("<title>my page</title>")
    with pytest.raises(FacemaskError, match="already exists and was not created by facemask: choose another --out"):
        curate_folder(one_face, tmp_path / "out", "unmasked", DEMO)
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == [foreign]
    assert foreign.read_text() == "<title>my page</title>"


def test_two_runs_into_one_folder_are_refused(one_face, tmp_path):
    (tmp_path / "out").mkdir()
    with locked(tmp_path / "out"), pytest.raises(FacemaskError, match="another 'facemask curate' is writing to"):
        curate_folder(one_face, tmp_path / "out", "unmasked", DEMO)


def test_an_output_path_that_is_a_file_is_an_error(one_face, tmp_path):
    (tmp_path / "out").touch()
    with pytest.raises(FacemaskError, match="out is not a folder: choose another --out"):
        curate_folder(one_face, tmp_path / "out", "unmasked", DEMO)


@pytest.fixture
def measured(monkeypatch):
    """The images that are measured, in pieces of five, in order; a run can be stopped by `stop_at`."""
    monkeypatch.setattr(measured_files, "PIECE", 5)
    counted = partial(_counted, measured_files.measure_files, measured := Measured())
    monkeypatch.setattr(measured_files, "measure_files", counted)
    return measured


class Measured(list):
    stop_at: int | None = None


def _counted(measure, measured, workers, container, paths, progress):
    if measured.stop_at is not None and len(measured) >= measured.stop_at:
        raise KeyboardInterrupt
    measured.extend(paths)
    return measure(workers, container, paths, progress)


def test_a_stopped_run_goes_on_with_the_images_that_are_not_measured(folder, out, tmp_path, measured, capsys):
    measured.stop_at = 10
    with pytest.raises(KeyboardInterrupt):
        curate_folder(folder, tmp_path, None, DEMO)
    measured.stop_at = None
    curate_folder(folder, tmp_path, None, DEMO)
    manifest = pd.read_parquet(tmp_path / "manifest.parquet")
    assert sorted(measured) == sorted(manifest["path"])  # none twice
    pd.testing.assert_frame_equal(manifest, pd.read_parquet(out / "manifest.parquet"))
    assert "curate: 10 images were measured before" in capsys.readouterr().out


def test_a_finished_run_keeps_nothing_half_done(folder, out):
    assert [path.name for path in out.iterdir() if path.name.startswith(".")] == []


def test_images_that_changed_after_a_stop_are_measured_again(folder, tmp_path, measured):
    shutil.copytree(folder, tmp_path / "f")
    measured.stop_at = 10
    with pytest.raises(KeyboardInterrupt):
        curate_folder(tmp_path / "f", tmp_path / "out", None, DEMO)
    os.utime(tmp_path / "f/ffhq" / measured[0], (5, 5))
    measured.stop_at = None
    curate_folder(tmp_path / "f", tmp_path / "out", None, DEMO)
    assert measured.count(measured[0]) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="finds the workers in /proc")
@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGKILL])
def test_the_workers_of_a_stopped_curate_end(folder, tmp_path, sent):
    command = [sys.executable, "-m", "flows.cli", "curate", str(folder), "--out", str(tmp_path / "out")]
    process = subprocess.Popen(
        [*command, "--params", str(DEMO)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    with process:
        wait_until(
            lambda: len(children.read_text().split()) > os.cpu_count(), "the workers start"
        )  # and a resource tracker
        workers = [int(pid) for pid in children.read_text().split()]
        process.send_signal(sent)
        if sent == signal.SIGTERM:
            assert process.stderr.read() == "facemask: stopped: to finish, run the same command again\n"
            assert process.wait() == 128 + signal.SIGTERM
    wait_until(lambda: not any(map(is_running, workers)), "the workers end")
