"""Training states and data in the DVC remote, a folder or S3: used whole and verified, or not at all."""

import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows.handoff import state_store as remote
from flows.handoff.curating_side import _train_here
from flows.handoff.state_store import StateStore, pull, push
from models.training.state_files import FACE_STATE_FILES, STATE_FILES, UNMASK_FILES
from pipeline.errors import FacemaskError
from tests.conftest import inside
from tests.flows.conftest import PATIENCE_S, S3_BUCKET, S3_SETTINGS, wait_for


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
        remote = "url = ../../remote"
    else:
        remote = f"url = s3://{S3_BUCKET}/{tmp_path.name}\nendpointurl = {request.getfixturevalue('s3')}"
        for name, value in S3_SETTINGS.items():
            monkeypatch.setenv(name, value)
    Path(".dvc").mkdir()
    Path(".dvc/config").write_text(f"[core]\nno_scm = true\nremote = there\n['remote \"there\"']\n{remote}\n")
    return StateStore(workspace, "key")


@pytest.fixture
def lines() -> list[str]:
    """What was logged."""
    return []


def save(name: str, text: str) -> Path:
    """A state as the trainer leaves it."""
    folder = Path("work/train") / name
    folder.mkdir(parents=True)
    for file in STATE_FILES:
        (folder / file).write_text(text)
    return folder


def tar_of(files: dict[str, bytes], kind: bytes = tarfile.REGTYPE) -> bytes:
    """A tar file of these files, in their order; `kind`: of the last one, as a link to ../../x."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for number, (name, data) in enumerate(files.items(), start=1):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            if number == len(files) and kind != tarfile.REGTYPE:
                member.type, member.linkname, member.size = kind, "../../x", 0
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def lose_work() -> None:
    Path("work").rename(f"lost-{len(list(Path().glob('lost-*')))}")
    Path("work/train").mkdir(parents=True)


def push_and_lose(store: StateStore, name: str, text: str) -> None:
    save(name, text)
    store.push(name)
    lose_work()


def put(store: StateStore, path: str, data: bytes) -> None:
    file_system: Any = store._fs
    whole = file_system.join(store._folder, path)
    file_system.makedirs(file_system.parent(whole), exist_ok=True)
    file_system.pipe_file(whole, data)


def put_state(store: StateStore, name: str, data: bytes) -> None:
    """Write a file under the name of a state, with its right digest."""
    put(store, f"{name}-{hashlib.sha256(data).hexdigest()}.tar", data)


def there(store: StateStore) -> list[str]:
    """The files of states in the remote."""
    file_system: Any = store._fs
    if not file_system.exists(store._folder):
        return []
    return sorted(file_system.relpath(path, store._folder) for path in file_system.find(store._folder))


def the_file(store: StateStore) -> str:
    """The path, in the store's folder, of the only state in the remote."""
    (path,) = there(store)
    return path


def files_here() -> set[Path]:
    """Every file and folder of the workspace but DVC's own, and of the folder around it but the remote."""
    outside = {path for path in Path("..").iterdir() if path.name != "remote"}
    return outside | {path for path in Path().rglob("*") if path.parts[0] != ".dvc"} - {Path("work/handoff")}


def test_a_pushed_state_comes_back_whole_and_only_the_newest_is_kept(store):
    for n in (1, 2):
        save(f"abc/state-{n}", f"at {n}")
        store.push(f"abc/state-{n}")
    save("def/state-7", "another training's")
    store.push("def/state-7")
    lose_work()
    assert store.pull() == ["abc/state-2", "def/state-7"]
    assert {path.name: path.read_text() for path in Path("work/train/abc/state-2").iterdir()} == dict.fromkeys(
        STATE_FILES, "at 2"
    )
    assert [path.name for path in Path("work/train/abc").iterdir()] == ["state-2"]
    assert store.pull() == []  # it is here
    lose_work()
    store.remove(print)
    assert there(store) == []


@pytest.mark.parametrize("store", ["folder"], indirect=True)
def test_what_a_killed_transfer_left_is_removed_by_the_next_run(store):
    left = Path("work/handoff/tmp1/state.tar")
    left.parent.mkdir(parents=True)
    left.touch()
    StateStore(Path.cwd(), "key")
    assert not left.parent.exists()


def test_a_state_of_a_method_that_makes_new_faces_comes_back_and_half_of_one_does_not(store):
    folder = save("abc/state-1", "at 1")
    for name in STATE_FILES - FACE_STATE_FILES:
        (folder / name).unlink()
    for name in FACE_STATE_FILES:
        (folder / name).write_text("at 1")
    store.push("abc/state-1")
    lose_work()
    assert store.pull() == ["abc/state-1"]
    assert {path.name for path in Path("work/train/abc/state-1").iterdir()} == FACE_STATE_FILES
    Path("work/train/abc/state-1/average_faces.safetensors").unlink()
    with pytest.raises(FacemaskError, match="is no training state"):
        store.push("abc/state-1")


def test_a_state_of_a_method_that_only_puts_masks_on_comes_back_and_one_with_half_the_other_weights_does_not(store):
    folder = save("abc/state-1", "at 1")
    for name in UNMASK_FILES:
        (folder / name).unlink()
    store.push("abc/state-1")
    lose_work()
    assert store.pull() == ["abc/state-1"]
    assert {path.name for path in Path("work/train/abc/state-1").iterdir()} == STATE_FILES - UNMASK_FILES
    folder = save("abc/state-2", "at 2")
    (folder / min(UNMASK_FILES)).unlink()
    with pytest.raises(FacemaskError, match="is no training state"):
        store.push("abc/state-2")


def test_a_newer_local_state_is_kept(store):
    push_and_lose(store, "abc/state-1", "old")
    save("abc/state-2", "new")
    assert store.pull() == []


def test_the_older_state_is_used_where_the_newest_is_not_good(store, lines):
    push_and_lose(store, "abc/state-1", "old")
    put_state(store, "abc/state-2", b"no tar")
    assert store.pull(lines.append) == ["abc/state-1"]


GOOD = dict.fromkeys(sorted(STATE_FILES), b"at 1")
FIRST, *_, LAST = GOOD
ODD_STATES = {
    "empty": b"",
    "no tar": b"[]",
    "no file": tar_of({}),
    "cut short": tar_of(GOOD)[:1000],
    "compressed": gzip.compress(tar_of(GOOD)),
    "a file left out": tar_of({name: data for name, data in GOOD.items() if name != LAST}),
    "a link": tar_of(GOOD, tarfile.SYMTYPE),
    "a hard link": tar_of(GOOD, tarfile.LNKTYPE),
    "a fifo": tar_of(GOOD, tarfile.FIFOTYPE),
    "a folder": tar_of(GOOD, tarfile.DIRTYPE),
    **{
        f"named {name!a:.20}": tar_of({name: b"at 1"} | GOOD)
        for name in ("../x", "../../../x", "/etc/x", "..", "more/state.pt", "STATE.PT", "new\nline", "x" * 10_000)
    },
}


@pytest.mark.parametrize("data", ODD_STATES.values(), ids=ODD_STATES)
def test_a_state_with_other_content_is_skipped_with_a_line_and_nothing_is_written(store, lines, data):
    put_state(store, "abc/state-1", data)
    before = files_here()
    assert store.pull(lines.append) == []
    assert files_here() == before
    assert len(lines) == 1
    assert lines[0].startswith("training state abc/state-1 in the DVC remote is not used: ")
    assert lines[0].isprintable()
    assert len(lines[0]) < 250


def test_files_after_those_of_a_state_are_left_alone(store, lines):
    put_state(store, "abc/state-1", tar_of({**GOOD, "../x": b"", "x": b""}))
    before = files_here()
    assert store.pull(lines.append) == ["abc/state-1"]
    new = {path.name for path in files_here() - before}
    assert new == {"abc", "state-1", *STATE_FILES}


@pytest.mark.parametrize(
    "name",
    ["xyz/state-1", "abc/state-x", "abc/state-1/state-2", "a/b/c/state-1", "state-1", "abc/state-..", "ABC/state-1"],
)
def test_a_state_under_any_other_name_is_refused_by_name(store, lines, name):
    put_state(store, name, tar_of(GOOD))
    before = files_here()
    assert store.pull(lines.append) == []
    assert files_here() == before
    assert [line[:73] for line in lines] == [
        f"no training states, and not used: 1 files in the DVC remote, as '{name}-"[:73]
    ]


@pytest.mark.parametrize("store", ["s3"], indirect=True)  # a folder has no such names
@pytest.mark.parametrize("name", ["abc/../../../state-1", "abc/../state-1", "/etc/state-1"])
def test_a_state_in_s3_whose_key_leads_outside_is_refused_by_name(store, lines, name):
    key = store._folder.removeprefix(f"{S3_BUCKET}/")
    whole = f"{key}/{name}-{hashlib.sha256(tar_of(GOOD)).hexdigest()}.tar"
    store._fs.fs.call_s3("put_object", Bucket=S3_BUCKET, Key=whole, Body=tar_of(GOOD))
    before = files_here()
    assert store.pull(lines.append) == []
    assert files_here() == before
    assert [line.startswith("no training states, and not used: 1 files") for line in lines] == [True]
    assert lines[0].isprintable()


@pytest.mark.parametrize("store", ["folder"], indirect=True)
def test_hundreds_of_refused_names_are_one_line(store, lines):
    for n in range(200):
        put(store, f"odd\n/state-{n}.json", b"{}")
    assert store.pull(lines.append) == []
    assert [line.startswith("no training states, and not used: 200 files") for line in lines] == [True]
    assert lines[0].isprintable()


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data.replace(b"at 1", b"AT 1")])
def test_a_state_that_was_cut_or_altered_is_not_used(store, lines, change):
    push_and_lose(store, "abc/state-1", "at 1")
    path = the_file(store)
    put(store, path, change(store._fs.cat_file(store._fs.join(store._folder, path))))
    before = files_here()
    assert store.pull(lines.append) == []
    assert files_here() == before
    assert lines == [
        "training state abc/state-1 in the DVC remote is not used: it does not have the SHA-256 that its name has"
    ]


def test_a_state_reaches_the_work_folder_only_when_it_is_verified(store, monkeypatch):
    push_and_lose(store, "abc/state-1", "at 1")
    seen: list[list[Path]] = []
    unpack = remote._unpack

    def watch(*arguments: Any) -> None:
        unpack(*arguments)
        seen.append([*Path("work/train").rglob("*")])

    monkeypatch.setattr(remote, "_unpack", watch)
    assert store.pull() == ["abc/state-1"]
    assert seen == [[]]


def test_a_file_larger_than_any_state_is_not_downloaded(store, lines, monkeypatch):
    push_and_lose(store, "abc/state-1", "at 1")
    monkeypatch.setattr(remote, "_MAX_BYTES", 3)
    monkeypatch.setattr(store._fs, "get_file", lambda *_: pytest.fail("it was downloaded"))
    assert store.pull(lines.append) == []
    assert lines[0].endswith("is not used: it is no file of 1 to 3 bytes")


@pytest.mark.parametrize("store", ["folder"], indirect=True)
def test_a_fifo_in_the_remote_does_not_block(store, lines):
    push_and_lose(store, "abc/state-1", "at 1")
    fifo = Path(store._folder, the_file(store))
    fifo.unlink()
    os.mkfifo(fifo)
    assert store.pull(lines.append) == []
    assert "abc/state-1 in the DVC remote is not used: it is no file" in lines[0]


def test_what_is_no_training_state_is_not_pushed(store):
    save("abc/state-1", "at 1")
    Path("work/train/abc/state-1/state.pt").unlink()
    with pytest.raises(FacemaskError, match="is no training state"):
        store.push("abc/state-1")
    assert there(store) == []


def failing(store: StateStore, method: str, monkeypatch: pytest.MonkeyPatch, times: float) -> None:
    """Let one method of the remote's file system fail so many times, as a network does."""
    whole: Callable[..., Any] = getattr(store._fs, method)
    left = times

    def fail(*arguments: Any, **options: Any) -> Any:
        nonlocal left
        left -= 1
        if left >= 0:
            raise OSError("no route to host")
        return whole(*arguments, **options)

    monkeypatch.setattr(store._fs, method, fail)
    monkeypatch.setattr(remote, "_RETRY_WAITS_S", (0.0, 0.0))


READING = pytest.mark.parametrize("method", ["info", "find", "get_file"])


@READING
def test_a_passing_network_error_is_logged_and_the_state_is_used(store, lines, monkeypatch, method):
    push_and_lose(store, "abc/state-1", "at 1")
    failing(store, method, monkeypatch, times=2)
    store.resume(lines.append)
    assert lines == [
        *["training states in the DVC remote cannot be read (no route to host): next try in 0 s"] * 2,
        "going on from abc/state-1, which a worker left in the DVC remote",
    ]
    assert Path("work/train/abc/state-1/state.pt").read_text() == "at 1"


@READING
def test_a_network_error_that_stays_is_raised_and_the_state_stays_in_the_remote(store, lines, monkeypatch, method):
    push_and_lose(store, "abc/state-1", "at 1")
    with monkeypatch.context() as patch:
        failing(store, method, patch, times=float("inf"))
        with pytest.raises(FacemaskError, match=r"cannot be read \(no route to host\), and stay there: run again"):
            store.resume(lines.append)
    assert store.pull() == ["abc/state-1"]


@READING
def test_training_here_after_a_network_error_leaves_the_state_in_the_remote(store, lines, monkeypatch, method):
    push_and_lose(store, "abc/state-1", "at 1")
    with monkeypatch.context() as patch:
        failing(store, method, patch, times=float("inf"))
        _train_here("no worker", store, lines.append)
    assert "no route to host" in lines[-1]
    assert store.pull() == ["abc/state-1"]


def test_training_here_removes_the_state_from_the_remote_once_it_is_here(store, lines):
    push_and_lose(store, "abc/state-1", "at 1")
    _train_here("no worker", store, lines.append)
    assert Path("work/train/abc/state-1/state.pt").read_text() == "at 1"
    assert there(store) == []
    assert lines[1:] == ["going on from abc/state-1, which a worker left in the DVC remote"]


def test_training_here_leaves_a_state_that_it_cannot_use_in_the_remote(store, lines):
    push_and_lose(store, "abc/state-1", "at 1")
    path = the_file(store)
    put(store, path, b"")
    _train_here("no worker", store, lines.append)
    assert there(store) == [path]
    assert "abc/state-1 in the DVC remote is not used" in lines[-1]


def test_training_here_goes_on_where_the_remote_cannot_delete(store, lines, monkeypatch):
    push_and_lose(store, "abc/state-1", "at 1")
    failing(store, "rm_file", monkeypatch, times=float("inf"))
    _train_here("no worker", store, lines.append)
    assert Path("work/train/abc/state-1/state.pt").read_text() == "at 1"
    assert "could not be deleted from the DVC remote" in lines[-1]


def test_while_training_goes_on_each_new_state_is_pushed(store, lines):
    Path("work").mkdir(exist_ok=True)
    save("abc/state-1", "there before")
    with store.pushing(0.1 / 60, lines.append):
        save("abc/state-2", "new")
        wait_for(lambda: lines, "it is pushed")
    # A push while the state is half written gives another line before it.
    assert lines[-1] == "abc/state-2 is in the DVC remote: another worker could go on from it"
    lose_work()
    assert store.pull() == ["abc/state-2"]


def test_a_remote_that_fails_does_not_end_the_training(store, lines, monkeypatch):
    tried = threading.Event()

    def fail(name: str) -> None:
        tried.set()
        raise OSError("no route to host")

    monkeypatch.setattr(store, "push", fail)
    with store.pushing(0.05 / 60, lines.append):
        save("abc/state-1", "new")
        assert tried.wait(PATIENCE_S)
    assert "abc/state-1 could not be copied to the DVC remote, next try in" in lines[0]
    assert lines[0].endswith("no route to host")


def test_dvc_collects_no_garbage_there(store):
    Path("params.yaml").write_text("a: 1\n")
    Path("dvc.yaml").write_text("stages: {}\n")
    save("abc/state-1", "at 1")
    store.push("abc/state-1")
    dvc("gc", "--workspace", "--cloud", "--force", "--quiet")
    lose_work()
    assert store.pull() == ["abc/state-1"]


def make_and_push() -> None:
    """Let stage `make` make a folder with the files x and y, stage `one` a file, and leave them in the remote alone."""
    make = {"cmd": "mkdir made && echo x > made/x && echo y > made/y", "outs": ["made"]}
    one = {"cmd": "echo one > one", "outs": ["one"]}
    Path("dvc.yaml").write_text(json.dumps({"stages": {"make": make, "one": one}}))
    dvc("repro", "--quiet")
    push(["make", "one"], Path.cwd(), print)
    Path("made").rename("away")
    Path("one").unlink()
    Path(".dvc/cache").rename("away-cache")


@pytest.fixture(scope="module")
def pushed_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with such a workspace, `here`, and its remote, a folder."""
    folder = tmp_path_factory.mktemp("pushed")
    (folder / "here" / ".dvc").mkdir(parents=True)
    (folder / "here" / ".dvc" / "config").write_text(
        "[core]\nno_scm = true\nremote = there\n['remote \"there\"']\nurl = ../../remote\n"
    )
    with inside(folder / "here"):
        make_and_push()
    return folder


@pytest.fixture
def pushed(request, store: StateStore, pushed_folder: Path) -> StateStore:
    """The store of a workspace that lacks what its stages made: the remote alone has it."""
    if request.node.callspec.params["store"] == "folder":
        for name in ("here", "remote"):
            shutil.copytree(pushed_folder / name, Path("..") / name, dirs_exist_ok=True)
    else:
        make_and_push()
    return store


def objects(store: StateStore) -> tuple[Any, str]:
    """The remote's file system, and the folder of DVC's objects in it."""
    file_system, folder = remote._open_remote(Path.cwd())
    return file_system, file_system.join(folder, "files", "md5")


def put_object(store: StateStore, name: str, data: bytes) -> None:
    """Write an object of the DVC remote, under its own name or another's."""
    file_system, folder = objects(store)
    path = file_system.join(folder, name[:2], name[2:])
    file_system.makedirs(file_system.parent(path), exist_ok=True)
    if file_system.exists(path):
        file_system.rm_file(path)
    file_system.pipe_file(path, data)


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def name_of_made() -> str:
    """The object that lists the files of made/."""
    (path,) = Path("away-cache").rglob("*.dir")
    return path.parent.name + path.name


def list_of_made() -> list[dict[str, str]]:
    (path,) = Path("away-cache").rglob("*.dir")
    listed: list[dict[str, str]] = json.loads(path.read_text())
    return listed


def test_what_a_stage_made_goes_there_and_comes_back(pushed, lines):
    pull(["make", "one"], Path.cwd(), lines.append)
    assert Path("made/x").read_text() == "x\n"
    assert Path("one").read_text() == "one\n"
    assert lines[-1] == "3 files fetched"
    pull(["made"], Path.cwd(), lines.append)
    assert lines[-1] == "0 files fetched"


def refused(lines: list[str]) -> str:
    """Pull what was tampered with. Returns the error, one line that says what to do."""
    outside = {path.name for path in Path("..").iterdir()}
    with pytest.raises(FacemaskError) as caught:
        pull(["make", "one"], Path.cwd(), lines.append)
    text = str(caught.value)
    assert "\n" not in text
    assert "run 'dvc push' where" in text
    assert [path for path in Path().rglob("*") if path.is_file() and path.read_bytes() == b"evil\n"] == []
    assert {path.name for path in Path("..").iterdir()} == outside
    return text


@pytest.mark.parametrize(("content", "output"), [(b"x\n", "made"), (b"one\n", "one")], ids=["in a folder", "a file"])
def test_an_object_that_was_altered_in_the_remote_stays_out_of_the_workspace(pushed, lines, content, output):
    put_object(pushed, md5(content), b"evil\n")
    assert f"cannot bring {output}: objects of it in the DVC remote are missing, or are not what" in refused(lines)


@pytest.mark.parametrize("store", ["folder"], indirect=True)
@pytest.mark.parametrize("path", ["x", "z", "../../evil", "../evil", "/etc/evil"])
def test_a_list_of_files_that_was_altered_in_the_remote_is_refused(pushed, lines, path):
    put_object(pushed, md5(b"evil\n"), b"evil\n")
    put_object(pushed, name_of_made(), json.dumps([*list_of_made(), {"md5": md5(b"evil\n"), "relpath": path}]).encode())
    assert "cannot bring made: the list of its files in the DVC remote is not the one" in refused(lines)


@pytest.mark.parametrize("store", ["folder"], indirect=True)
@pytest.mark.parametrize("data", [b"42", b"[1]", b""], ids=ascii)
def test_an_odd_list_of_files_in_the_remote_is_refused_in_one_line(pushed, lines, data):
    put_object(pushed, name_of_made(), data)
    assert "the list of its files in the DVC remote is not the one" in refused(lines)


@pytest.mark.parametrize("store", ["folder"], indirect=True)
def test_an_altered_list_that_an_unverified_pull_left_in_the_cache_is_replaced(pushed, lines):
    whole = json.dumps(list_of_made()).encode()
    put_object(pushed, md5(b"evil\n"), b"evil\n")
    put_object(pushed, name_of_made(), whole.replace(md5(b"x\n").encode(), md5(b"evil\n").encode()))
    dvc("pull", "--quiet", "make")
    assert Path("made/x").read_text() == "evil\n"
    (original,) = Path("away-cache").rglob("*.dir")
    put_object(pushed, name_of_made(), original.read_bytes())
    pull(["make"], Path.cwd(), lines.append)
    assert Path("made/x").read_text() == "x\n"


@pytest.mark.parametrize("store", ["folder"], indirect=True)
def test_a_list_that_leads_outside_is_refused_even_if_dvc_lock_names_it(pushed, lines):
    data = json.dumps([{"md5": md5(b"evil\n"), "relpath": "../../evil"}]).encode()
    put_object(pushed, md5(b"evil\n"), b"evil\n")
    put_object(pushed, f"{md5(data)}.dir", data)
    lock = Path("dvc.lock")
    lock.write_text(lock.read_text().replace(name_of_made(), f"{md5(data)}.dir"))
    with pytest.raises(FacemaskError, match="names paths outside of it"):
        pull(["make"], Path.cwd(), lines.append)
    assert not Path("../evil").exists()


def test_what_was_never_pushed_is_reported_in_one_line(pushed, lines):
    file_system, folder = objects(pushed)
    file_system.rm(folder, recursive=True)
    assert "cannot bring made: it is not in the DVC remote" in refused(lines)


def test_a_missing_remote_is_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dvc("init", "--quiet", "--no-scm")
    with pytest.raises(FacemaskError, match="no DVC remote to hand over through in") as caught:
        StateStore(tmp_path, "key")
    assert "\n" not in str(caught.value)
