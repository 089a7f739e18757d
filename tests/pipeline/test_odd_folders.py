"""Folders as people have them: odd names, archives of equal names, files of other programs."""

import zipfile

import pandas as pd
import pytest

from tests.conftest import demo_params, fetch_here, inside, write_params


@pytest.fixture
def workspace(tmp_path):
    """A source `own`, whose inbox is empty."""
    values = demo_params()
    values["sources"] = {"own": {"kind": "folder", "domain": "masked"}}
    write_params(tmp_path, values)
    (tmp_path / "data/inbox/own").mkdir(parents=True)
    with inside(tmp_path):
        yield tmp_path


@pytest.fixture
def inbox(workspace):
    return workspace / "data/inbox/own"


def zipped(path, **files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"{name}.jpg", content)


def stored(workspace):
    """Path -> content of everything in the shards; the index has the same paths."""
    raw = workspace / "data/raw/own"
    found = {}
    for shard in raw.glob("*.zip"):
        with zipfile.ZipFile(shard) as archive:
            assert not found.keys() & set(archive.namelist())
            found |= {name: archive.read(name) for name in archive.namelist()}
    assert sorted(found) == pd.read_parquet(raw / "index.parquet")["path"].tolist()
    return found


def test_images_of_equal_names_in_two_zips_are_both_fetched(workspace, inbox, capsys):
    zipped(inbox / "a.zip", IMG_0="one", IMG_1="two")
    zipped(inbox / "b.zip", IMG_0="three", IMG_2="four")
    fetch_here("own")
    assert stored(workspace) == {
        "IMG_0.jpg": b"one",
        "IMG_1.jpg": b"two",
        "IMG_2.jpg": b"four",
        "b.zip/IMG_0.jpg": b"three",
    }
    assert "1 images have the names of others in this source" in capsys.readouterr().out


def test_copies_of_equal_names_are_fetched_once_and_counted(workspace, inbox, capsys):
    zipped(inbox / "a.zip", IMG_0="one")
    zipped(inbox / "b.zip", IMG_0="one")
    (inbox / "IMG_0.jpg").write_text("one")
    fetch_here("own")
    assert stored(workspace) == {"IMG_0.jpg": b"one"}
    assert capsys.readouterr().out.count("1 images left out: the source has them already") == 2


def test_a_loose_file_keeps_its_name_beside_a_zip(workspace, inbox):
    zipped(inbox / "a.zip", IMG_0="one")
    (inbox / "IMG_0.jpg").write_text("two")
    fetch_here("own")
    assert stored(workspace) == {"IMG_0.jpg": b"two", "a.zip/IMG_0.jpg": b"one"}


def test_a_zip_with_a_folder_of_its_own_name_loses_nothing(workspace, inbox):
    zipped(inbox / "a.zip", IMG_0="one")
    zipped(inbox / "b.zip", **{"IMG_0": "two", "b.zip/IMG_0": "three"})
    fetch_here("own")
    assert sorted(stored(workspace).values()) == [b"one", b"three", b"two"]


ARRIVALS = {"a.zip": {"IMG_0": "one"}, "b.zip": {"IMG_0": "two"}, "c.zip": {"IMG_0": "one", "IMG_1": "three"}}


@pytest.mark.parametrize("order", ["abc", "cba", "bca"])
def test_what_is_stored_does_not_depend_on_the_order_of_arrival(workspace, inbox, order):
    for letter in order:
        zipped(inbox / f"{letter}.zip", **ARRIVALS[f"{letter}.zip"])
        fetch_here("own")
    assert stored(workspace) == {"IMG_0.jpg": b"one", "b.zip/IMG_0.jpg": b"two", "IMG_1.jpg": b"three"}


def test_a_second_fetch_of_equal_names_writes_nothing_again(workspace, inbox):
    zipped(inbox / "a.zip", IMG_0="one")
    zipped(inbox / "b.zip", IMG_0="two")
    fetch_here("own")
    before = {path.name: path.stat().st_ino for path in (workspace / "work/fetch/own").glob("*.zip")}
    fetch_here("own")
    assert {path.name: path.stat().st_ino for path in (workspace / "work/fetch/own").glob("*.zip")} == before
