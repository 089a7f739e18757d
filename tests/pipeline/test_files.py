import subprocess
import sys

import pytest

from pipeline import errors, files


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
