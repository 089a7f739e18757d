"""dvc repro itself, on a small sample: what runs, and what does not run again."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from tests.conftest import ROOT, demo_params, write_params

PER_SOURCE = ["fetch@ffhq", "fetch@maskedface", "measure@ffhq", "measure@maskedface"]


def dvc(folder, *words):
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "DVC_NO_ANALYTICS": "1",
    }
    return subprocess.run(
        [sys.executable, "-m", "dvc", *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def ran(result):
    return [line.split("'")[1] for line in result.stdout.splitlines() if line.startswith("Running stage")]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A repository of its own in which everything up to `pack` has been made by DVC."""
    folder = tmp_path_factory.mktemp("repro") / "w"
    folder.mkdir()
    for name in ("pipeline", "models", "experiments"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "data/inbox", folder / "data/inbox")
    for name in ("dvc.yaml", ".dvcignore", ".gitignore", "data/review.csv"):
        shutil.copy(ROOT / name, folder / name)
    write_params(folder, demo_params())
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    assert dvc(folder, "init", "--quiet").returncode == 0
    first = dvc(folder, "repro", "pack")
    assert first.returncode == 0, first.stdout + first.stderr
    assert sorted(ran(first)) == sorted([*PER_SOURCE, "curate", "pack"])
    return folder


@pytest.fixture
def copy(workspace, tmp_path):
    shutil.copytree(workspace, tmp_path / "w", symlinks=True)
    return tmp_path / "w"


def change(folder, block, key, value):
    values = yaml.safe_load((folder / "params.yaml").read_text())
    values[block][key] = value
    write_params(folder, values)


def test_a_second_repro_runs_nothing(copy):
    again = dvc(copy, "repro", "pack")
    assert (again.returncode, ran(again)) == (0, [])


def test_a_file_in_one_inbox_fetches_that_source_only_and_is_curated(copy):
    (copy / "data/inbox/ffhq/mine.png").write_bytes(b"not an image: it is a row all the same")
    assert ran(dvc(copy, "repro", "curate")) == ["fetch@ffhq", "measure@ffhq", "curate"]
    rows = pd.read_parquet(copy / "data/manifest.parquet").set_index("image_id")
    assert list(rows.loc["ffhq/mine.png", "reasons"]) == ["unreadable"]


def test_a_dangling_link_in_one_inbox_does_not_stop_the_other_source(copy):
    (copy / "data/inbox/ffhq/lost.png").symlink_to("nowhere.png")
    change(copy, "fetch", "archive_images", 7)
    assert dvc(copy, "repro", "fetch@ffhq").returncode != 0
    assert ran(dvc(copy, "repro", "fetch@maskedface")) == ["fetch@maskedface"]


def test_facemask_fetch_creates_the_inbox_of_a_source_that_is_new(copy):
    change(copy, "sources", "more", {"kind": "sample", "domain": "masked"})
    done = facemask(copy, "fetch", "more")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "facemask: there: more")


def test_facemask_fetch_names_files_in_the_inbox_that_no_source_reads(copy):
    (copy / "data/inbox/maskedfaces").mkdir()
    (copy / "data/inbox/maskedfaces/a.png").touch()
    told = facemask(copy, "fetch", "ffhq").stdout.splitlines()[0]
    assert told.startswith("facemask: data/inbox/maskedfaces/: 1 file is ignored, since params.yaml has no source")


def test_git_keeps_the_folder_of_an_inbox_and_none_of_its_files(copy):
    (copy / "data/inbox/ffhq/mine.png").touch()
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "data"], cwd=copy, capture_output=True)
    found = {"README.md", "ffhq/.gitkeep", "maskedface/.gitkeep"}
    assert set(listed.stdout.decode().split()) == {"data/review.csv", *(f"data/inbox/{name}" for name in found)}


def test_a_changed_threshold_measures_nothing(copy):
    change(copy, "curate", "max_yaw", 5)
    assert ran(dvc(copy, "repro", "pack")) == ["curate", "pack"]


def test_a_fresh_clone_pulls_everything_and_runs_nothing(copy, tmp_path):
    def git(folder, *words):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *words], cwd=folder, check=True)

    assert dvc(copy, "remote", "add", "--default", "there", str(tmp_path / "remote")).returncode == 0
    git(copy, "add", "--all")
    git(copy, "commit", "--quiet", "--message", "built")
    assert dvc(copy, "push").returncode == 0
    git(tmp_path, "clone", "--quiet", str(copy), "clone")
    clone = tmp_path / "clone"
    pulled = dvc(clone, "pull", "--allow-missing")
    assert pulled.returncode == 0, pulled.stderr
    assert (clone / "data/manifest.parquet").read_bytes() == (copy / "data/manifest.parquet").read_bytes()
    again = dvc(clone, "repro", "pack")
    assert (again.returncode, ran(again)) == (0, [])


def test_a_failed_stage_tells_why_and_leaves_the_earlier_output(copy):
    before = (copy / "data/manifest.parquet").read_bytes()
    change(copy, "curate", "min_px", 5000)
    failed = dvc(copy, "repro", "curate")
    assert failed.returncode != 0
    assert "facemask: error: none of" in failed.stdout + failed.stderr
    assert (copy / "data/manifest.parquet").read_bytes() == before


def test_an_unknown_key_is_named(copy):
    change(copy, "curate", "max_jaw", 5)
    failed = dvc(copy, "repro", "curate")
    assert failed.returncode != 0
    assert "key 'curate.max_jaw' is unknown" in failed.stdout + failed.stderr


def test_metrics_show_what_was_kept(copy):
    shown = dvc(copy, "metrics", "show", "reports/curation.json")
    assert shown.returncode == 0 and "accepted" in shown.stdout


def facemask(folder, *words):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", "flows.cli", *words],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def test_facemask_fetch_brings_the_source_that_is_named(copy):
    shutil.rmtree(copy / "data/raw/ffhq")
    shutil.rmtree(copy / "data/raw/maskedface")
    done = facemask(copy, "fetch", "ffhq")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "facemask: there: ffhq")
    assert (copy / "data/raw/ffhq/index.parquet").exists()
    assert not (copy / "data/raw/maskedface").exists()


def test_facemask_fetch_verify_passes_what_is_whole(copy):
    done = facemask(copy, "fetch", "--verify")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "facemask: whole: ffhq, maskedface")


def test_facemask_fetch_verify_fails_in_one_line_for_a_damaged_archive(copy):
    archive = copy / "data/raw/ffhq/00000.zip"
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 1
    archive.unlink()
    archive.write_bytes(content)
    done = facemask(copy, "fetch", "ffhq", "--verify")
    assert done.returncode == 1
    told = done.stdout.splitlines()[-1]
    assert "facemask: error: 1 archives of data/raw/ffhq/ are damaged (00000.zip): remove" in told


def test_facemask_fetch_knows_no_other_source(copy):
    done = facemask(copy, "fetch", "fhq")
    assert (done.returncode, done.stdout) == (
        1,
        "facemask: error: params.yaml names no source 'fhq': did you mean 'ffhq'? it has ffhq, maskedface\n",
    )
