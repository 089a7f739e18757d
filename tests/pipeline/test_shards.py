import pytest

from pipeline.errors import FacemaskError
from pipeline.storage.shards import read_members, write_shard

MEMBERS = [("b/1.png", b"one"), ("a.png", b""), ("c.png", b"three")]


def test_members_are_read_by_name(tmp_path):
    write_shard(tmp_path / "a.zip", MEMBERS)
    assert list(read_members(tmp_path / "a.zip", ["c.png", "b/1.png"])) == [b"three", b"one"]


def test_equal_members_give_equal_bytes(tmp_path):
    for name in ("a.zip", "b.zip"):
        write_shard(tmp_path / name, MEMBERS)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_a_changed_byte_is_detected(tmp_path):
    path = tmp_path / "a.zip"
    write_shard(path, [("a.png", b"x" * 100)])
    path.write_bytes(path.read_bytes().replace(b"x" * 100, b"x" * 99 + b"y"))
    with pytest.raises(FacemaskError, match="damaged"):
        list(read_members(path, ["a.png"]))


def test_a_failed_write_leaves_no_shard(tmp_path):
    def members():
        yield "a.png", b"x"
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_shard(tmp_path / "a.zip", members())
    assert list(tmp_path.iterdir()) == []
