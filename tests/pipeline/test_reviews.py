"""review.csv: what people said is kept, whoever says something else meanwhile."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from pipeline.curation.reviews import Review, change_reviews, read_reviews
from pipeline.errors import FacemaskError


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "data/review.csv"
    path.parent.mkdir()
    path.write_text('image_id,review,note\na/1.png,drop,"glasses, and a hand"\nof/nothing/here.png,keep,\n')
    return path


def test_notes_and_entries_of_images_that_are_not_here_stay(path):
    change_reviews(path, {"a/2.png": Review("keep", 'he said "yes"')})
    assert read_reviews(path) == {
        "a/1.png": Review("drop", "glasses, and a hand"),
        "of/nothing/here.png": Review("keep"),
        "a/2.png": Review("keep", 'he said "yes"'),
    }


def test_a_choice_that_is_taken_back_goes_and_no_other(path):
    change_reviews(path, {"a/1.png": None, "a/9.png": None})
    assert list(read_reviews(path)) == ["of/nothing/here.png"]


def test_many_at_once_lose_nothing_of_each_other(path):
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: change_reviews(path, {f"b/{number}.png": Review("drop")}), range(40)))
    assert {f"b/{number}.png" for number in range(40)} | {"a/1.png"} < set(read_reviews(path))


def test_a_file_that_cannot_be_read_is_left_as_it_is(path):
    path.write_text("image_id,review\na/1.png,perhaps\n")
    with pytest.raises(FacemaskError, match="line 2"):
        change_reviews(path, {"a/2.png": Review("keep")})
    assert path.read_text() == "image_id,review\na/1.png,perhaps\n"


def test_without_a_file_there_are_none_and_the_first_choice_makes_it(path):
    path.unlink()
    assert read_reviews(path) == {}
    change_reviews(path, {"a/1.png": Review("keep")})
    assert path.read_text() == "image_id,review,note\na/1.png,keep,\n"
