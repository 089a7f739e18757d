import os
import signal
import socket
import subprocess
import sys

import pytest

from pipeline import errors
from pipeline.storage import files


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(RuntimeError), files.replacing(target) as beside:
        beside.write_text("half")
        raise RuntimeError
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.txt", "old")]


def test_a_folder_is_replaced_whole(tmp_path):
    for name in ("made", "target"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    files.replace_folder(tmp_path / "made", tmp_path / "target")
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["target", "target/made"]


def test_a_link_shares_or_copies_the_content(tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    files.link_or_copy(tmp_path / "a", tmp_path / "deep" / "b")
    assert (tmp_path / "deep" / "b").read_bytes() == b"x"


def test_a_digest_tells_every_value_apart():
    assert len({files.digest_of(1, "2"), files.digest_of("1", 2), files.digest_of([1], 2)}) == 3


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_a_user_error_is_one_line_and_a_status():
    ended = run("from pipeline.errors import *\ndef main(): raise FacemaskError('a, b, c')\nrun(main)")
    assert (ended.returncode, ended.stderr) == (1, "facemask: error: a, b, c\n")


def test_a_full_disk_is_one_line_and_a_status():
    ended = run(
        "from pipeline.errors import *\n"
        "def main():\n    with open('/dev/full', 'w') as file: file.write('x' * 100000)\n"
        "run(main)"
    )
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert "no space left on disk" in ended.stderr


def test_an_error_of_ours_is_not_disguised():
    def main():
        raise PermissionError(13, "no")

    with pytest.raises(PermissionError):
        errors.run(main)


def test_sigterm_ends_a_command_as_ctrl_c_does():
    ended = run(
        "import os, signal\nfrom pipeline.errors import run\n"
        "def main():\n"
        "    try: os.kill(os.getpid(), signal.SIGTERM); signal.pause()\n"
        "    finally: print('cleaned up', flush=True); os.kill(os.getpid(), signal.SIGTERM)\n"
        "run(main)"
    )
    assert (ended.returncode, ended.stdout) == (128 + signal.SIGTERM, "cleaned up\n")
    assert ended.stderr == "facemask: stopped: the same command goes on from here\n"


def test_a_file_larger_than_any_image_is_not_read(tmp_path, capsys):
    (tmp_path / "a.jpg").touch()
    os.truncate(tmp_path / "a.jpg", 30_000_000_000)  # sparse
    assert files.read_or_empty(tmp_path, "a.jpg") == b""
    assert "a.jpg cannot be read: it has 30,000,000,000 bytes, more than 500,000,000" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["fifo", "device", "link to a fifo", "socket"])
def test_what_is_no_regular_file_is_not_read(tmp_path, kind):
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
            with socket.socket(socket.AF_UNIX) as server:
                server.bind(str(path))
    with pytest.raises(OSError, match=r"a\.jpg"):
        files.read_image_file(path)
    assert files.read_or_empty(tmp_path, "a.jpg") == b""


def test_a_regular_file_is_read_whole(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"a picture")
    assert files.read_image_file(tmp_path / "a.jpg") == b"a picture"


def test_a_folder_that_fails_leaves_the_old_one_and_nothing_beside_it(tmp_path):
    target = tmp_path / "target"
    target.mkdir()
    (target / "old").touch()
    with pytest.raises(RuntimeError), files.replacing_folder(target) as made:
        (made / "half").touch()
        raise RuntimeError
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["target", "target/old"]


def test_what_a_kill_left_beside_a_folder_is_gone_after_the_next_replacement(tmp_path):
    target = tmp_path / "target"
    for left in (tmp_path / ".target.new", tmp_path / ".target.old"):
        left.mkdir()
        (left / "half").touch()
    with files.replacing_folder(target) as made:
        (made / "whole").touch()
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["target", "target/whole"]
