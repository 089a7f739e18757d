"""Half-done training in the DVC remote, a folder or S3: there whole or not at all, and found by whoever comes next."""

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from flows.remote import StateStore, pull, push
from pipeline.errors import FacemaskError
from tests.flows.conftest import S3_BUCKET, S3_SETTINGS, wait_for


def dvc(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "dvc", *arguments], check=True, stdout=subprocess.DEVNULL)


@pytest.fixture(params=["folder", "s3"])
def store(request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StateStore:
    """The store of a workspace, which is the current folder, in a remote of either kind."""
    workspace = tmp_path / "here"
    workspace.mkdir()
    monkeypatch.chdir(workspace)
    monkeypatch.delenv("FACEMASK_WORK", raising=False)
    if request.param == "folder":
        remote = f"url = {tmp_path / 'remote'}"
    else:
        remote = f"url = s3://{S3_BUCKET}/{tmp_path.name}\nendpointurl = {request.getfixturevalue('s3')}"
        for name, value in S3_SETTINGS.items():
            monkeypatch.setenv(name, value)
    Path(".dvc").mkdir()
    Path(".dvc/config").write_text(f"[core]\nno_scm = true\nremote = there\n['remote \"there\"']\n{remote}\n")
    return StateStore(workspace, "key")


def save(name: str, text: str) -> Path:
    """A state as the trainer leaves it."""
    folder = Path("work/train") / name
    (folder / "more").mkdir(parents=True)
    (folder / "state.pt").write_text(text)
    (folder / "more" / "history.json").write_text("[]")
    return folder


def lose_work() -> None:
    Path("work").rename(f"lost-{len(list(Path().glob('lost-*')))}")
    Path("work/train").mkdir(parents=True)


def put(store: StateStore, path: str, data: bytes) -> None:
    file_system: Any = store._fs
    whole = file_system.join(store._folder, path)
    file_system.makedirs(file_system.parent(whole), exist_ok=True)
    file_system.pipe_file(whole, data)


def test_a_pushed_state_comes_back_whole_and_only_the_newest_is_kept(store):
    for n in (1, 2):
        save(f"abc/state-{n}", f"at {n}")
        store.push(f"abc/state-{n}")
    save("def/state-7", "another training's")
    store.push("def/state-7")
    lose_work()
    assert store.pull() == ["abc/state-2", "def/state-7"]
    assert Path("work/train/abc/state-2/state.pt").read_text() == "at 2"
    assert Path("work/train/abc/state-2/more/history.json").read_text() == "[]"
    assert [path.name for path in Path("work/train/abc").iterdir()] == ["state-2"]
    assert store.pull() == []  # it is here
    lose_work()
    store.remove()
    assert store.pull() == []


def test_what_is_here_and_newer_stays(store):
    save("abc/state-1", "old")
    store.push("abc/state-1")
    lose_work()
    save("abc/state-2", "new")
    assert store.pull() == []


@pytest.mark.parametrize(
    ("path", "data"),
    [("abc/state-1/state.pt", b"at"), ("abc/state-1.json", b'{"state.pt": ')],
    ids=["file cut short", "list cut short"],
)
def test_half_a_state_is_none(store, path, data):
    save("abc/state-1", "at 1")
    store.push("abc/state-1")
    lose_work()
    put(store, path, data)
    assert store.pull() == []
    assert [*Path("work/train").rglob("*.pt")] == []


def test_files_without_their_list_are_no_state(store):
    put(store, "abc/state-1/state.pt", b"at 1")
    assert store.pull() == []


def test_while_training_goes_on_each_new_state_is_pushed(store):
    lines: list[str] = []
    Path("work").mkdir(exist_ok=True)
    save("abc/state-1", "there before")
    with store.pushing(0.1 / 60, lines.append):
        save("abc/state-2", "new")
        wait_for(lambda: lines, 20, "it is pushed")
    assert lines == ["abc/state-2 is in the DVC remote: another worker could go on from it"]
    lose_work()
    assert store.pull() == ["abc/state-2"]


def test_a_remote_that_fails_does_not_end_the_training(store, monkeypatch):
    lines: list[str] = []
    tried = threading.Event()

    def fail(name: str) -> None:
        tried.set()
        raise OSError("no route to host")

    monkeypatch.setattr(store, "push", fail)
    with store.pushing(0.05 / 60, lines.append):
        save("abc/state-1", "new")
        assert tried.wait(10)
    assert "abc/state-1 could not be copied to the DVC remote, tried again in" in lines[0]
    assert lines[0].endswith("no route to host")


def test_dvc_collects_no_garbage_there(store):
    Path("params.yaml").write_text("a: 1\n")
    Path("dvc.yaml").write_text("stages: {}\n")
    save("abc/state-1", "at 1")
    store.push("abc/state-1")
    dvc("gc", "--workspace", "--cloud", "--force", "--quiet")
    lose_work()
    assert store.pull() == ["abc/state-1"]


def test_what_a_stage_made_goes_there_and_comes_back(store):
    Path("dvc.yaml").write_text(
        json.dumps({"stages": {"make": {"cmd": "mkdir made && echo x > made/x", "outs": ["made"]}}})
    )
    dvc("repro", "--quiet", "make")
    lines: list[str] = []
    push(["make"], Path.cwd(), lines.append)
    Path("made").rename("away")
    Path(".dvc/cache").rename("away-cache")
    pull(["make"], Path.cwd(), lines.append)
    assert Path("made/x").read_text() == "x\n"
    assert "2 files pushed" in lines


def test_a_remote_that_is_not_there_is_told_in_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dvc("init", "--quiet", "--no-scm")
    with pytest.raises(FacemaskError, match="no DVC remote to hand over through in") as caught:
        StateStore(tmp_path, "key")
    assert "\n" not in str(caught.value)
