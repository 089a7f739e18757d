import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline.errors import FacemaskError
from pipeline.storage import files
from tests.conftest import put_socket


def test_a_failed_write_keeps_the_old_file_and_leaves_nothing_beside_it(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(RuntimeError), files.replacing(target) as beside:
        beside.write_text("half")
        raise RuntimeError
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.txt", "old")]


def test_a_folder_is_replaced_by_the_finished_one(tmp_path):
    for name in ("made", "target"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    files.replace_folder(tmp_path / "made", tmp_path / "target")
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["target", "target/made"]


def test_a_link_shares_or_copies_the_content(tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    files.link_or_copy(tmp_path / "a", tmp_path / "deep" / "b")
    assert (tmp_path / "deep" / "b").read_bytes() == b"x"


def test_digests_of_different_values_differ():
    assert len({files.digest_of(1, "2"), files.digest_of("1", 2), files.digest_of([1], 2)}) == 3


def test_a_file_above_the_size_limit_is_not_read(tmp_path, capsys):
    (tmp_path / "a.jpg").touch()
    os.truncate(tmp_path / "a.jpg", 30_000_000_000)  # sparse
    assert files.read_or_empty(tmp_path, "a.jpg") == b""
    assert "a.jpg cannot be read: it has 30,000,000,000 bytes, more than 500,000,000" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["fifo", "device", "link to a fifo", "socket"])
def test_only_regular_files_are_read(tmp_path, kind):
    path = tmp_path / "a.jpg"
    match kind:
        case "fifo":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case "link to a fifo":
            os.mkfifo(tmp_path / "fifo")
            path.symlink_to(tmp_path / "fifo")
        case "socket":
            put_socket(path)
    with pytest.raises(OSError, match=r"a\.jpg"):
        files.read_image_file(path)
    assert files.read_or_empty(tmp_path, "a.jpg") == b""


def test_a_regular_file_is_read_whole(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"a picture")
    assert files.read_image_file(tmp_path / "a.jpg") == b"a picture"


def test_a_failed_replacement_keeps_the_old_folder_and_leaves_nothing_beside_it(tmp_path):
    target = tmp_path / "target"
    target.mkdir()
    (target / "old").touch()
    with pytest.raises(RuntimeError), files.replacing_folder(target) as made:
        (made / "half").touch()
        raise RuntimeError
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["target", "target/old"]


def test_a_replacement_removes_the_leftovers_of_a_killed_one(tmp_path):
    target = tmp_path / "target"
    for left in (tmp_path / ".target.new", tmp_path / ".target.old"):
        left.mkdir()
        (left / "half").touch()
    with files.replacing_folder(target) as made:
        (made / "whole").touch()
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["target", "target/whole"]


def test_text_that_is_written_is_on_disk_before_the_rename(tmp_path, monkeypatch):
    events = []
    sync, rename = os.fsync, Path.replace

    def logged_sync(file):
        events.append(str(Path(f"/proc/self/fd/{file}").readlink()))
        sync(file)

    def logged_rename(path, target):
        events.append("rename")
        rename(path, target)

    monkeypatch.setattr(os, "fsync", logged_sync)
    monkeypatch.setattr(Path, "replace", logged_rename)
    with files.replacing(tmp_path / "a.txt") as beside:
        beside.write_text("new")
    assert events == [str(beside), "rename", str(tmp_path)]


def test_two_threads_that_write_one_file_do_not_disturb_each_other(tmp_path):
    def write(number):
        with files.replacing(tmp_path / "a.txt") as beside:
            beside.write_text(str(number))
            both_are_writing.wait()
        return number

    both_are_writing = threading.Barrier(2)
    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(write, (1, 2))) == [1, 2]
    assert (tmp_path / "a.txt").read_text() in ("1", "2")
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_lock_is_refused_while_another_process_holds_it(tmp_path, kind):
    path = tmp_path / "lock"
    if kind == "folder":
        path.mkdir()
    code = (
        "import sys; from pathlib import Path; from pipeline.storage.files import locked\n"
        "with locked(Path(sys.argv[1])): print('locked', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout.readline() == "locked\n"
        with pytest.raises(FacemaskError, match="it is locked"), files.locked(path, "it is locked"):
            pass
        holder.kill()
    with files.locked(path, "it is locked"):
        pass


def test_a_file_with_the_longest_name_is_replaced(tmp_path):
    for name in ("a" * 255, "ä" * 127):
        with files.replacing(tmp_path / name) as beside:
            beside.write_text("x")
        assert (tmp_path / name).read_text() == "x"


def test_long_names_that_begin_alike_are_written_side_by_side(tmp_path):
    with (
        files.replacing(tmp_path / ("a" * 251 + ".jpg")) as one,
        files.replacing(tmp_path / ("a" * 251 + ".png")) as two,
    ):
        assert one != two
        one.touch()
        two.touch()


def test_a_loop_of_links_is_read_as_empty_with_one_line(tmp_path, capsys):
    (tmp_path / "loop.png").symlink_to("loop.png")
    assert files.read_or_empty(tmp_path, "loop.png") == b""
    assert "loop.png cannot be read: Too many levels of symbolic links" in capsys.readouterr().out
