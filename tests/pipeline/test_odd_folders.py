"""Folders as people have them: odd names, archives of equal names, files of other programs."""

import re
import zipfile

import pandas as pd
import pytest

from pipeline.errors import FacemaskError
from pipeline.sources.config import load_sources
from pipeline.sources.left_alone import describe_others
from pipeline.tools.curate_folder import curate_folder
from pipeline.tools.folder_layout import find_sources
from tests.conftest import ROOT, demo_params, fetch_here, inside, write_params

DEMO = ROOT / "flows/demo_params.yaml"


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


SYSTEM_FOLDERS = [
    "__MACOSX",
    "@eaDir",
    "$RECYCLE.BIN",
    "$Recycle.Bin",
    "#recycle",
    "System Volume Information",
    ".Trash",
]


@pytest.mark.parametrize("name", SYSTEM_FOLDERS)
def test_folders_that_the_system_made_hold_no_images(workspace, inbox, name):
    (inbox / "mine" / name / "deep").mkdir(parents=True)
    (inbox / "mine" / name / "deep/thumb.jpg").write_bytes(b"thumb")
    zipped(inbox / "a.zip", **{f"{name}/thumb": "thumb", "face": "face"})
    fetch_here("own")
    assert stored(workspace) == {"face.jpg": b"face"}


ARCHIVES = ["more.7z", "more.rar", "more.tar.zst", "more.gz"]


@pytest.mark.parametrize("name", [*ARCHIVES, "inner.zip", "inner.tar.gz"])
def test_archives_within_archives_are_said_not_to_be_read(inbox, capsys, name):
    with zipfile.ZipFile(inbox / "a.zip", "w") as archive:
        archive.writestr("face.jpg", b"face")
        archive.writestr(name, b"archive")
    fetch_here("own")
    assert f"fetch own, a.zip: 1 archives are not read: unpack them; the first is {name}\n" in capsys.readouterr().out


@pytest.mark.parametrize("name", ARCHIVES)
def test_archives_of_other_formats_are_said_not_to_be_read(inbox, capsys, name):
    (inbox / name).write_bytes(b"archive")
    with pytest.raises(FacemaskError, match="source 'own' has no images"):
        fetch_here("own")
    assert f"fetch own: 1 archives are not read: unpack them; the first is {name}\n" in capsys.readouterr().out


def test_curate_says_which_files_it_leaves_alone(tmp_path, capsys):
    for name in ("a.heic", "b.HEIC", "c.mp4", "d.zip", "README"):
        (tmp_path / name).write_bytes(b"content")
    with pytest.raises(FacemaskError, match="has no images"):
        curate_folder(tmp_path, tmp_path / "out", "masked", DEMO)
    printed = capsys.readouterr().out
    assert "5 other files left alone (2 .heic, 1 without a format, 1 .mp4, 1 .zip)" in printed
    assert "curate: 1 archives are not read: unpack them; the first is d.zip\n" in printed


def test_of_many_formats_the_most_frequent_are_named():
    paths = [f"{number}.{letter}" for letter in "abcdefg" for number in range(ord(letter) - 90)]
    assert describe_others(paths) == "70 other files left alone (13 .g, 12 .f, 11 .e, 10 .d, 9 .c, 2 more formats)"


FFHQ = ["00000/00001.png", "01000/01001.png"]
CMFD = ["00000/00001_Mask.jpg", "01000/01001_Mask.jpg"]
IMFD = ["00000/00001_Mask_Chin.jpg", "01000/01001_mask_nose_mouth.jpg"]
OTHERS = ["anna.jpg", "trip/bob.jpg"]


@pytest.mark.parametrize(
    ("layout", "sources", "left_out"),
    [
        ({"": FFHQ}, {"all": "unmasked"}, {}),
        ({"images1024x1024": FFHQ}, {"all": "unmasked"}, {}),
        ({"": IMFD}, {"all": "masked"}, {}),
        ({"CMFD": CMFD, "IMFD": IMFD}, {"all": "masked"}, {}),
        ({"": ["00001_Mask.jpg", "00002_Mask_Chin.jpg"]}, {"all": "masked"}, {}),
        ({"ffhq": FFHQ, "CMFD": CMFD}, {"ffhq": "unmasked", "CMFD": "masked"}, {}),
        ({"": FFHQ, "CMFD": CMFD, "IMFD": IMFD}, {"all": "unmasked", "CMFD": "masked", "IMFD": "masked"}, {}),
        ({"a/ffhq": FFHQ, "a/m": CMFD, "b": IMFD}, {"a-ffhq": "unmasked", "a-m": "masked", "b": "masked"}, {}),
        ({"a-b": FFHQ, "a/b": FFHQ, "a/m": CMFD}, {"a-b": "unmasked", "a-b (2)": "unmasked", "a-m": "masked"}, {}),
        ({"ffhq": FFHQ, "masked": OTHERS}, {"ffhq": "unmasked"}, {"masked": 1, "masked/trip": 1}),
        ({"ffhq": FFHQ, "": ["anna.jpg"]}, {"ffhq": "unmasked"}, {"": 1}),
        ({"": [*FFHQ, "00000/notes.png"]}, {"all": "unmasked"}, {}),
        ({"": [*FFHQ, "00000/00001_Mask.jpg"]}, {"all": "unmasked"}, {"00000": 2}),
    ],
)  # fmt: skip
def test_the_names_of_the_images_say_which_sources_a_folder_has(tmp_path, capsys, layout, sources, left_out):
    folder = tmp_path / "all"
    images = [f"{place}/{path}".lstrip("/") for place, paths in layout.items() for path in paths]
    found = find_sources(folder, images, None)
    assert {source.name: source.domain for source in found} == sources
    named = re.findall(r"curate: (\d+) images in (\S+) are left out", capsys.readouterr().out)
    assert {path: int(count) for count, path in named} == {str(folder / path): n for path, n in left_out.items()}
    taken = [(source.folder / path).relative_to(folder).as_posix() for source in found for path in source.images]
    assert len(taken) == len(set(taken)) == len(images) - sum(left_out.values())
    assert set(taken) <= set(images)


@pytest.mark.parametrize(
    "images",
    [OTHERS, ["00000/00001.png", "00000/00001_Mask.jpg"], ["anna/00001.jpg", "bob/00001.jpg"], ["70000/70000.png"]],
    ids=["other names", "both in one folder", "five digits", "no FFHQ number"],
)
def test_a_folder_whose_domain_is_in_doubt_needs_one(tmp_path, images):
    with pytest.raises(FacemaskError, match="--domain masked or --domain unmasked"):
        find_sources(tmp_path, images, None)
    (source,) = find_sources(tmp_path, images, "masked")
    assert (source.domain, source.images) == ("masked", images)


@pytest.mark.parametrize("name", ["my faces", "ffhq-2.0", "o'neil", "a@b", "..", "", "a/b", "-a", "a\nb", "_"])
def test_a_source_name_that_is_no_stage_name_is_refused_by_name(tmp_path, name):
    write_params(tmp_path, {"sources": {name: {"kind": "folder", "domain": "masked"}}})
    with pytest.raises(FacemaskError, match=r"params.yaml has a source .*: rename it") as refused:
        load_sources(tmp_path / "params.yaml")
    assert repr(name)[1:-1] in str(refused.value)


@pytest.mark.parametrize("name", ["ffhq", "my-faces_2", "2024", "f\u00e4ces"])
def test_a_source_name_of_letters_digits_and_dashes_is_taken(tmp_path, name):
    write_params(tmp_path, {"sources": {name: {"kind": "folder", "domain": "masked"}}})
    assert list(load_sources(tmp_path / "params.yaml")) == [name]


def test_a_block_without_sources_is_refused(tmp_path):
    write_params(tmp_path, {"sources": {}})
    with pytest.raises(FacemaskError, match="names no sources: add one"):
        load_sources(tmp_path / "params.yaml")
