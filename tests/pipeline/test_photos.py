"""Which photos are meant, and where what is made of them goes: never over anything."""

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


def test_a_folder_s_photos_keep_their_places_and_become_png():
    assert painted("album") == {"album/a.jpg": "out/a.png", "album/b/c.PNG": "out/b/c.png"}


def test_a_photo_named_twice_is_one():
    assert list(painted("album/a.jpg", "album/a.jpg")) == ["album/a.jpg"]


def test_two_photos_of_one_stem_get_names_of_their_own():
    Path("album/a.png").write_bytes(b"")
    assert painted("album")["album/a.png"] == "out/a.png"
    assert painted("album")["album/a.jpg"] == "out/a.jpg.png"


def test_what_was_written_into_the_folder_is_not_a_photo_again():
    Path("album/masked").mkdir()
    Path("album/masked/a.png").write_bytes(b"")
    assert list(painted("album", out="album/masked")) == ["album/a.jpg", "album/b/c.PNG"]


@pytest.mark.parametrize(
    ("named", "out", "told"),
    [
        (["missing.jpg"], "out", "missing.jpg is not there"),
        (["album/notes.txt"], "out", "is no image by its name"),
        (["album/.hidden", "empty"], "out", "empty is not there"),
        (["album", "other"], "out", "would both be written to"),
        (["album/b/c.PNG"], "album/b", "is a photo itself"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(named, out, told):
    with pytest.raises(FacemaskError, match=told) as caught:
        painted(*named, out=out)
    assert "\n" not in str(caught.value)


def test_a_folder_without_photos_is_refused():
    Path("empty").mkdir()
    with pytest.raises(FacemaskError, match="no images"):
        painted("empty")
