"""Stage `fetch` under DVC: what DVC cannot see or read of the inbox, and shards on disk once."""

import os
import shutil

import pandas as pd
import pytest
import yaml

from flows.inbox import show_to_dvc
from flows.processes.dvc_runner import program_env
from flows.stages import run_stage
from pipeline.sources.verify import verify
from tests.conftest import ROOT, demo_params, put_socket, write_params
from tests.flows.conftest import python

STAGES = {
    "stages": {
        "fetch": {
            "foreach": "${sources}",
            "do": {
                "cmd": 'python -m pipeline fetch "${key}"',
                "deps": ["data/inbox"],
                "params": ["sources.${key}"],
                "outs": ["data/raw/${key}"],
            },
        }
    }
}


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """A workspace with the sources `own` and `far`; far's files are in the folder `elsewhere`."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    values = demo_params()
    values["sources"] = {
        "own": {"kind": "folder", "domain": "masked"},
        "far": {"kind": "folder", "domain": "masked", "path": str(tmp_path / "elsewhere")},
    }
    folder = tmp_path / "w"
    (folder / "data/inbox/own").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    write_params(folder, values)
    (folder / "dvc.yaml").write_text(yaml.safe_dump(STAGES))
    assert python("-m", "dvc", "init", "--no-scm", "-q", cwd=folder, env=program_env()).returncode == 0
    (folder / ".dvc/config").write_text(
        "[core]\n    no_scm = true\n" + (ROOT / ".dvc/config").read_text().split("[core]")[1]
    )
    (folder / "data/inbox/own/a.png").write_bytes(b"a")
    (tmp_path / "elsewhere/a.png").write_bytes(b"a")
    return folder


def fetch(workspace, source="own"):
    """Whether DVC ran the stage, and what was printed."""
    lines: list[str] = []
    run_stage(f"fetch@{source}", workspace, lines.append)
    return any(line.startswith("> python -m pipeline fetch") for line in lines), lines


def fetched(workspace, source="own"):
    return pd.read_parquet(workspace / f"data/raw/{source}/index.parquet")["path"].tolist()


def put_odd_files(inbox):
    (inbox / "dangling.png").symlink_to("nowhere")
    (inbox / "loop.png").symlink_to("loop.png")
    (inbox / "zero.png").symlink_to("/dev/zero")
    os.mkfifo(inbox / "fifo.png")
    os.mkfifo(inbox / "[a]*?!#\\ fifo ")
    (inbox / os.fsdecode(b"b\xe9.png")).write_bytes(b"b")
    (inbox / ".hidden").mkdir()
    (inbox / ".hidden/dangling").symlink_to("nowhere")
    put_socket(inbox / "socket.png")


def test_files_that_dvc_cannot_read_stop_no_source(workspace):
    put_odd_files(workspace / "data/inbox/own")
    ran, lines = fetch(workspace)
    assert ran
    assert fetched(workspace) == ["a.png", "dangling.png", "loop.png"]  # the links have no content
    assert sum("8 files cannot be read and are left out" in line for line in lines) == 1
    assert fetch(workspace)[0] is False


def test_what_became_readable_is_fetched(workspace):
    inbox = workspace / "data/inbox/own"
    (inbox / "b.png").symlink_to("later.jpg")
    fetch(workspace)
    (inbox / "later.jpg").write_bytes(b"b")
    assert fetch(workspace)[0]
    assert (workspace / "data/.dvcignore").read_text() == ""


def test_lines_of_others_stay_in_the_list_of_ignored_files(workspace):
    (workspace / "data/.dvcignore").write_text("mine\n")
    (workspace / "data/inbox/own/b.png").symlink_to("nowhere")
    show_to_dvc("own", workspace, print)
    assert (workspace / "data/.dvcignore").read_text().startswith("mine\n# ")
    assert "/inbox/own/b.png\n" in (workspace / "data/.dvcignore").read_text()


def test_a_linked_inbox_is_seen_to_grow(workspace, tmp_path):
    shutil.rmtree(workspace / "data/inbox/own")
    (workspace / "data/inbox/own").symlink_to(tmp_path / "elsewhere")
    assert fetch(workspace)[0]
    (tmp_path / "elsewhere/b.png").write_bytes(b"b")
    assert fetch(workspace)[0]
    assert fetched(workspace) == ["a.png", "b.png"]
    assert fetch(workspace)[0] is False


def test_a_source_with_a_path_is_seen_to_grow(workspace, tmp_path):
    assert fetch(workspace, "far")[0]
    (tmp_path / "elsewhere/b.png").write_bytes(b"b")
    assert fetch(workspace, "far")[0]
    assert fetched(workspace, "far") == ["a.png", "b.png"]
    assert fetch(workspace, "far")[0] is False


def names_of_the_shard(workspace):
    """How many names the stored shard has: in data/raw, in work and in DVC's cache."""
    shard = workspace / "data/raw/own/00000.zip"
    assert shard.samefile(workspace / "work/fetch/own/00000.zip")
    return shard.stat().st_nlink


def test_dvc_makes_no_copy_of_a_shard(workspace):
    assert python("-m", "dvc", "repro", "fetch@own", cwd=workspace, env=program_env()).returncode == 0
    assert names_of_the_shard(workspace) == 3


def test_where_dvc_made_a_copy_of_a_shard_only_the_copy_stays(workspace):
    (workspace / ".dvc/config.local").write_text("[cache]\n    type = reflink,hardlink,copy\n")
    fetch(workspace)
    assert names_of_the_shard(workspace) == 3


def test_shards_that_are_on_disk_once_survive_growth_and_removal(workspace):
    fetch(workspace)
    for number in range(3):
        (workspace / f"data/inbox/own/{number}.png").write_bytes(b"%d" % number)
    fetch(workspace)
    (workspace / "data/inbox/own/a.png").unlink()
    fetch(workspace)
    assert fetched(workspace) == ["0.png", "1.png", "2.png"]
    status = python("-m", "dvc", "status", "--json", cwd=workspace, env=program_env()).stdout
    assert "fetch@own" not in status
    verify(workspace / "data/raw/own")
