import errno
import os
import shutil
import tarfile
import zipfile

import pandas as pd
import pytest

from pipeline.errors import FacemaskError
from pipeline.paths import Paths
from pipeline.sources import shard_store, untrusted_archives
from pipeline.sources.config import load_source
from pipeline.sources.verify import verify_local_files
from pipeline.storage.files import locked
from pipeline.storage.shards import write_shard
from tests.conftest import demo_params, fetch_here, inside, write_params


@pytest.fixture
def workspace(tmp_path):
    """A source `own` with five files in the inbox, two images in each shard."""
    values = demo_params()
    values["sources"] = {"own": {"kind": "folder", "domain": "masked"}}
    values["fetch"]["archive_images"] = 2
    write_params(tmp_path, values)
    inbox = tmp_path / "data/inbox/own"
    inbox.mkdir(parents=True)
    for name in ("a.png", "b.png", "c.png", "d.png", "notes.txt"):
        (inbox / name).write_bytes(name.encode())
    with inside(tmp_path):
        yield tmp_path


@pytest.fixture
def inbox(workspace):
    return workspace / "data/inbox/own"


def shards(workspace):
    return {path.name: path.read_bytes() for path in (workspace / "data/raw/own").glob("*.zip")}


def index(workspace):
    return pd.read_parquet(workspace / "data/raw/own/index.parquet").set_index("path")


def sizes(workspace):
    return index(workspace)["bytes"].to_dict()


def test_every_image_and_no_other_file_is_in_the_index(workspace, capsys):
    fetch_here("own")
    assert list(sizes(workspace)) == ["a.png", "b.png", "c.png", "d.png"]
    assert "4 images, 1 other files left alone" in capsys.readouterr().out


def test_a_shard_does_not_change_when_files_are_added(workspace, inbox):
    fetch_here("own")
    before = shards(workspace)
    (inbox / "aa.png").write_bytes(b"new")
    fetch_here("own")
    after = shards(workspace)
    assert before.items() < after.items()
    assert sorted(after) == ["00000.zip", "00001.zip", "00002.zip"]


def test_a_changed_file_is_fetched_again(workspace, inbox):
    fetch_here("own")
    (inbox / "a.png").write_bytes(b"other content")
    fetch_here("own")
    assert sizes(workspace) == {"a.png": len(b"other content"), "b.png": 5, "c.png": 5, "d.png": 5}


def test_a_removed_file_leaves_the_index(workspace, inbox):
    fetch_here("own")
    (inbox / "a.png").unlink()
    fetch_here("own")
    assert list(sizes(workspace)) == ["b.png", "c.png", "d.png"]


def test_a_killed_fetch_continues_with_its_whole_shards(workspace):
    fetch_here("own")
    whole = shards(workspace)
    last = workspace / "work/fetch/own/00001.zip"
    last.with_suffix(".parquet").unlink()
    last.write_bytes(b"half")
    shutil.rmtree(workspace / "data/raw")
    fetch_here("own")
    assert shards(workspace) == whole


def test_a_source_without_files_is_an_error_and_keeps_the_earlier_output(workspace, inbox):
    fetch_here("own")
    before = shards(workspace)
    shutil.rmtree(inbox)
    shutil.rmtree(workspace / "data/raw/own")  # as DVC does before it runs the stage
    with pytest.raises(FacemaskError, match=r"'own' has no images in data/inbox/own/: put its images"):
        fetch_here("own")
    assert shards(workspace) == before


def test_a_source_that_reads_another_place_names_the_files_in_its_inbox_that_it_ignores(workspace, inbox, capsys):
    other = workspace / "other"
    other.mkdir()
    (other / "z.png").write_bytes(b"z")
    values = demo_params()
    values["sources"] = {"own": {"kind": "folder", "domain": "masked", "path": str(other)}}
    write_params(workspace, values)
    fetch_here("own")
    assert list(sizes(workspace)) == ["z.png"]
    assert "fetch own: data/inbox/own/: 5 files are ignored, since source 'own' reads another place" in (
        capsys.readouterr().out
    )


def test_the_sample_takes_the_files_of_its_inbox_too(workspace):
    values = demo_params()
    values["sources"] = {"own": {"kind": "sample", "domain": "masked"}}
    write_params(workspace, values)
    fetch_here("own")
    rows = index(workspace)
    assert rows.loc["a.png", "bytes"] == 5 and pd.isna(rows.loc["a.png", "licence"])
    assert len(rows) > 20


def test_an_unknown_source_is_named(workspace):
    with pytest.raises(FacemaskError, match="no source 'other': it has own"):
        fetch_here("other")


def test_a_full_disk_is_an_error_and_keeps_the_earlier_output(workspace, inbox, monkeypatch):
    fetch_here("own")
    before = shards(workspace)
    (inbox / "e.png").write_bytes(b"new")
    shutil.rmtree(workspace / "data/raw/own")  # as DVC does before it runs the stage

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shard_store, "write_shard", full)
    with pytest.raises(OSError, match="No space left"):
        fetch_here("own")
    assert shards(workspace) == before
    assert list(sizes(workspace)) == ["a.png", "b.png", "c.png", "d.png"]


def test_a_file_that_arrives_while_fetch_runs_is_fetched(workspace, inbox, monkeypatch, capsys):
    def arriving(shard, members):
        if not (inbox / "late.png").exists():
            (inbox / "late.png").write_bytes(b"late")
        write_shard(shard, members)

    monkeypatch.setattr(shard_store, "write_shard", arriving)
    fetch_here("own")
    assert sizes(workspace)["late.png"] == 4
    assert "files arrived meanwhile" in capsys.readouterr().out


def test_fetch_ends_although_files_keep_arriving(workspace, inbox, monkeypatch, capsys):
    def arriving(shard, members):
        (inbox / f"late{len(list(inbox.iterdir()))}.png").write_bytes(b"late")
        write_shard(shard, members)

    monkeypatch.setattr(shard_store, "write_shard", arriving)
    fetch_here("own")
    assert "files keep arriving" in capsys.readouterr().out


def test_two_fetches_of_one_source_are_refused(workspace):
    (workspace / "work/fetch").mkdir(parents=True)
    with (
        locked(workspace / "work/fetch/.own.lock"),
        pytest.raises(FacemaskError, match="another process is fetching 'own'"),
    ):
        fetch_here("own")


def test_a_file_that_stays_unreadable_does_not_change_its_shard(workspace, inbox):
    (inbox / "b.png").unlink()
    (inbox / "b.png").symlink_to(workspace / "params.yaml")  # leaves the folder: not read
    fetch_here("own")
    assert sizes(workspace)["b.png"] == 0
    before = shards(workspace)
    (inbox / "e.png").write_bytes(b"new")
    fetch_here("own")
    assert before.items() < shards(workspace).items()


def test_a_passing_read_error_is_repaired_by_the_next_fetch(workspace, inbox, monkeypatch):
    from pipeline.storage import files

    original = files.read_image_file

    def failing(path):
        if path.name == "b.png":
            raise OSError(errno.EIO, "Input/output error")
        return original(path)

    with monkeypatch.context() as patch:
        patch.setattr(files, "read_image_file", failing)
        fetch_here("own")
    assert sizes(workspace)["b.png"] == 0
    fetch_here("own")
    assert sizes(workspace) == {"a.png": 5, "b.png": 5, "c.png": 5, "d.png": 5}


def test_a_passing_read_error_of_a_zip_is_an_error_and_loses_no_member(workspace, inbox, monkeypatch):
    with zipfile.ZipFile(inbox / "more.zip", "w") as archive:
        archive.writestr("x.png", b"x" * 100)

    def failing(*_):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(untrusted_archives, "_read_zipped", failing)
        with pytest.raises(FacemaskError, match=r"more\.zip cannot be read"):
            fetch_here("own")
    fetch_here("own")
    assert sizes(workspace)["x.png"] == 100


def test_a_file_name_that_is_not_utf8_is_left_out_with_one_line(workspace, inbox, capsys):
    (inbox / os.fsdecode(b"caf\xe9.png")).write_bytes(b"1")
    (inbox / os.fsdecode(b"folder\xe9")).mkdir()
    (inbox / os.fsdecode(b"folder\xe9") / "x.png").write_bytes(b"2")
    fetch_here("own")
    assert list(sizes(workspace)) == ["a.png", "b.png", "c.png", "d.png"]
    printed = capsys.readouterr().out
    assert "data/inbox/own: 2 files left out (names that are not UTF-8)" in printed
    assert r"caf\xe9.png" in printed


def verify_here():
    verify_local_files("own", load_source("own"), Paths())


def swap(file, content):
    """Give a file other bytes of the same number, at the same time."""
    state = file.stat()
    file.write_bytes(content)
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))


@pytest.mark.parametrize("form", ["a.png", "a.tar", "b.png"])
def test_verify_finds_a_file_of_the_same_size_and_time_with_other_bytes(workspace, inbox, form):
    for name, content in (("b.png", b"one"), ("a.png", b"two")):
        (inbox / name).write_bytes(content)
        with tarfile.open(inbox / "a.tar", "a") as archive:
            archive.add(inbox / name, name)
    (inbox / "a.png").write_bytes(b"six")  # stored beside the tar's, under another path
    fetch_here("own")
    verify_here()
    swap(
        inbox / form,
        (inbox / form).read_bytes().replace(b"two", b"ten").replace(b"one", b"eno").replace(b"six", b"xis"),
    )
    with pytest.raises(FacemaskError, match=rf"files of data/inbox/own are others .* the first is {form}"):
        verify_here()


def test_verify_says_nothing_of_files_that_are_not_fetched_yet(workspace, inbox):
    fetch_here("own")
    (inbox / "new.png").write_bytes(b"new")
    verify_here()
