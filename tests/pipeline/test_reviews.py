"""review.csv: saved entries are read back, others stay, and no entry breaks the file or runs as a formula."""

import csv
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.curation.reviews import MAX_NOTE, Review, change_reviews, note_fault, read_reviews
from pipeline.errors import FacemaskError


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "data/review.csv"
    path.parent.mkdir()
    path.write_text('image_id,review,note\na/1.png,drop,"glasses, and a hand"\nof/nothing/here.png,keep,\n')
    return path


def test_other_entries_and_their_notes_stay(path):
    change_reviews(path, {"a/2.png": Review("keep", 'he said "yes"')})
    assert read_reviews(path) == {
        "a/1.png": Review("drop", "glasses, and a hand"),
        "of/nothing/here.png": Review("keep"),
        "a/2.png": Review("keep", 'he said "yes"'),
    }


def test_only_the_removed_entry_is_removed(path):
    change_reviews(path, {"a/1.png": None, "a/9.png": None})
    assert list(read_reviews(path)) == ["of/nothing/here.png"]


def test_concurrent_changes_are_all_saved(path):
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: change_reviews(path, {f"b/{number}.png": Review("drop")}), range(40)))
    assert {f"b/{number}.png" for number in range(40)} | {"a/1.png"} < set(read_reviews(path))


def test_the_first_change_creates_the_file(path):
    path.unlink()
    assert read_reviews(path) == {}
    change_reviews(path, {"a/1.png": Review("keep")})
    assert path.read_text() == '"image_id","review","note"\n"a/1.png","keep",""\n'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"image_id,review\ns/1.png,maybe\n", "line 2: review is 'maybe'"),
        (b"a,b\n", "no columns image_id and review"),
        (b"", "no columns image_id and review"),
        (b"image_id,review,note\na,keep,one\rtwo\n", "write keep or drop"),
        (b"image_id,review,note\na,keep,\xff\n", "is not CSV in UTF-8"),
        (b"image_id,review,note\na,keep," + b"n" * 200_000 + b"\n", "is not CSV in UTF-8"),
    ],
)
def test_an_invalid_file_is_refused_in_one_line_and_not_changed(path, content, message):
    path.write_bytes(content)
    with pytest.raises(FacemaskError, match=message) as error:
        change_reviews(path, {"a/2.png": Review("keep")})
    assert len(str(error.value).splitlines()) == 1
    assert path.read_bytes() == content


def test_a_file_that_a_spreadsheet_saved_is_read(path):
    path.write_bytes(b"\xef\xbb\xbfimage_id,review,note\r\na/1.png,drop,first\r\n")
    assert read_reviews(path) == {"a/1.png": Review("drop", "first")}


@pytest.mark.parametrize("note", ["a\rb", "a\nb", "a\tb", "a\0b", "\x85", "\u2028", "\ud800", "n" * (MAX_NOTE + 1)])
def test_a_note_with_control_characters_or_above_the_maximum_is_refused_and_nothing_changes(path, note):
    before = path.read_bytes()
    with pytest.raises(FacemaskError, match="a note may") as error:
        change_reviews(path, {"a/2.png": Review("keep"), "a/3.png": Review("drop", note)})
    assert len(str(error.value).splitlines()) == 1
    assert path.read_bytes() == before


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
notes = (texts | st.text("='+-@ab", max_size=5)).filter(lambda note: note_fault(note) is None)


@given(st.dictionaries(texts | st.text("\\\r\nx0du='@a", min_size=1, max_size=8), notes, max_size=5))
def test_any_image_id_and_any_allowed_note_are_read_back(tmp_path_factory, entries):
    path = tmp_path_factory.mktemp("reviews") / "review.csv"
    reviews = {image_id: Review("drop", note) for image_id, note in entries.items()}
    change_reviews(path, reviews)
    assert read_reviews(path) == reviews


@pytest.mark.parametrize("text", ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "'=1"])
def test_no_cell_begins_as_a_formula_and_it_is_read_back_the_same(path, text):
    change_reviews(path, {text: Review("keep", text)})
    with path.open(newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert not any(cell.startswith(("=", "+", "-", "@")) for cell in cells)
    assert read_reviews(path)[text] == Review("keep", text)


@pytest.mark.parametrize("name", ["a\rb.png", "a\nb.png", "a\x1bb.png", "a\u2028b.png"])
def test_a_file_name_with_control_characters_is_written_without_them_and_read_back(path, name):
    change_reviews(path, {f"s/{name}": Review("drop"), "s/other.png": Review("keep")})
    assert len(path.read_text().splitlines()) == len(read_reviews(path)) + 1
    assert not any(control in path.read_text() for control in "\r\x1b\u2028")
    assert read_reviews(path)[f"s/{name}"] == Review("drop")


def test_a_note_with_a_line_break_that_was_written_by_hand_stays(path):
    path.write_text('image_id,review,note\na/1.png,drop,"two\nlines"\n')
    change_reviews(path, {"a/2.png": Review("keep")})
    assert read_reviews(path)["a/1.png"] == Review("drop", "two\nlines")


def test_backslashes_in_a_file_of_an_earlier_version_stay(path):
    path.write_text("image_id,review,note\na\\b.png,drop,\n")
    assert list(read_reviews(path)) == ["a\\b.png"]
