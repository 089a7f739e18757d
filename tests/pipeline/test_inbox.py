"""Files in the inbox that no source reads are named, and no others."""

import pytest

from pipeline.paths import Paths
from pipeline.sources.config import FolderSource, NamedSource
from pipeline.sources.inbox import MARKER, create_inbox, unused_inboxes

SOURCES = {
    "here": FolderSource(kind="folder", domain="masked"),
    "there": FolderSource(kind="folder", domain="masked", path="s3://bucket/faces"),
    "sample": NamedSource(kind="sample", domain="masked"),
}


@pytest.fixture
def paths(tmp_path):
    paths = Paths(tmp_path)
    for name in SOURCES:
        create_inbox(name, paths)
    (paths.inbox / "README.md").touch()
    return paths


def put(paths, name):
    file = paths.inbox / name
    file.parent.mkdir(exist_ok=True)
    file.touch()


def test_files_that_a_source_reads_are_not_named(paths):
    put(paths, "here/1.jpg")
    put(paths, "sample/1.jpg")
    assert unused_inboxes(SOURCES, paths) == []


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("there/1.jpg", "inbox/there/: 1 file is ignored, since source 'there' reads another place"),
        ("her/1.jpg", "inbox/her/: 1 file is ignored, since params.yaml has no source of this name"),
        ("1.jpg", "inbox/1.jpg: 1 file is ignored, since params.yaml has no source of this name"),
    ],
)
def test_files_that_no_source_reads_are_named(paths, name, told):
    put(paths, name)
    (line,) = unused_inboxes(SOURCES, paths)
    assert told in line


def test_an_inbox_with_files_is_left_as_it_is(paths):
    (paths.inbox / "here" / MARKER).unlink()
    put(paths, "here/1.jpg")
    create_inbox("here", paths)
    assert [path.name for path in (paths.inbox / "here").iterdir()] == ["1.jpg"]


def test_an_empty_inbox_gets_a_file_by_which_git_keeps_it(paths):
    (paths.inbox / "here" / MARKER).unlink()
    create_inbox("here", paths)
    assert (paths.inbox / "here" / MARKER).exists()
