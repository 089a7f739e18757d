"""Which photos the user names, and the output paths, which never overwrite a photo."""

import os
from pathlib import Path

import pytest

from pipeline.errors import FacemaskError
from pipeline.tools.photos import list_photos


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("album/a.jpg", "album/b/c.PNG", "album/notes.txt", "album/.hidden/d.jpg", "other/a.jpg"):
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def painted(*named, out="out"):
    return {str(photo.source): str(photo.painted) for photo in list_photos([Path(name) for name in named], Path(out))}


def test_photos_of_a_folder_keep_their_relative_paths_and_become_png():
    assert painted("album") == {"album/a.jpg": "out/a.png", "album/b/c.PNG": "out/b/c.png"}


def test_a_photo_named_twice_is_listed_once():
    assert list(painted("album/a.jpg", "album/a.jpg")) == ["album/a.jpg"]


def test_two_photos_with_one_stem_get_different_names():
    Path("album/a.png").write_bytes(b"")
    assert painted("album")["album/a.png"] == "out/a.png"
    assert painted("album")["album/a.jpg"] == "out/a.jpg.png"


def test_outputs_within_the_folder_are_not_photos():
    Path("album/masked").mkdir()
    Path("album/masked/a.png").write_bytes(b"")
    assert list(painted("album", out="album/masked")) == ["album/a.jpg", "album/b/c.PNG"]


def test_files_of_a_folder_that_are_no_images_are_counted_by_format(capsys):
    for name in ("a.heic", "b/c.HEIC", "film.mp4"):
        Path("album", name).write_bytes(b"1")
    painted("album")
    assert "album: 4 other files left alone (2 .heic, " in capsys.readouterr().out


@pytest.mark.parametrize("out", ["album", "album/../album"])
def test_a_folder_that_is_its_own_output_is_not_without_photos(out):
    with pytest.raises(FacemaskError, match="is one of the photos and would be overwritten: choose another --out"):
        painted("album", out=out)


@pytest.mark.parametrize(
    ("named", "out", "expected"),
    [
        (["missing.jpg"], "out", "missing.jpg does not exist"),
        (["album/notes.txt"], "out", "is not an image"),
        (["album/.hidden", "empty"], "out", "empty does not exist"),
        (["album", "other"], "out", "would both be written to"),
        (["album/b/c.PNG"], "album/b", "is one of the photos"),
    ],
)
def test_invalid_requests_are_errors_of_one_line(named, out, expected):
    with pytest.raises(FacemaskError, match=expected) as caught:
        painted(*named, out=out)
    assert "\n" not in str(caught.value)


def test_a_folder_without_photos_is_an_error():
    Path("empty").mkdir()
    with pytest.raises(FacemaskError, match="no images"):
        painted("empty")


def test_a_file_name_that_is_not_utf8_is_an_error_of_one_line():
    named = Path(os.fsdecode(b"caf\xe9.jpg"))
    named.write_bytes(b"")
    with pytest.raises(FacemaskError, match=r"the name of caf\\xe9\.jpg is not UTF-8: rename it"):
        list_photos([named], Path("out"))


def test_a_loop_of_links_is_no_error():
    Path("album/loop.png").symlink_to("loop.png")
    assert "album/loop.png" in painted("album")


def test_links_to_folders_are_counted_and_named(capsys):
    Path("album/elsewhere").symlink_to("../other")
    Path("album/round").symlink_to(".")
    assert len(painted("album")) == 2
    assert "album: 2 links to folders are not followed: " in capsys.readouterr().out


def test_the_longest_file_name_gives_an_output_name_of_the_same_length():
    for suffix in ("jpg", "webp", "png"):
        Path("album", "a" * (254 - len(suffix)) + f".{suffix}").write_bytes(b"")
    outputs = list(painted("album").values())
    assert len(set(outputs)) == len(outputs) == 5
    assert all(len(Path(output).name) <= 255 for output in outputs)


@pytest.mark.parametrize("out", ["album/a.jpg", "album/a.jpg/deep"])
def test_an_output_folder_that_is_a_file_is_an_error_of_one_line(out):
    with pytest.raises(FacemaskError, match=r"^album/a\.jpg is not a folder: choose another --out$"):
        painted("album/b", out=out)
