"""What a stage's lines say of its progress."""

import pytest

from flows import progress
from flows.progress import followed, key_of, share_done


@pytest.mark.parametrize(
    ("line", "share"),
    [
        ("measure ffhq: 3,000 of 8,000 images, 70.1/s, 71 s left", 0.375),
        ("fetch ffhq, archive 1 of 70: 10 of 40 files, 9.9 of 41.2 MB, 3.3 MB/s", 0.25),
        ("600/1200 images, 9.1/s, 0:01:06 left; cycle 0.300", 0.5),
        ("training on 60 masked and 60 unmasked faces; cpu", None),
        ("measure ffhq: 0 of 0 images", None),
    ],
)
def test_a_line_says_how_much_is_done(line, share):
    assert share_done(line) == share


def test_a_key_has_what_prefect_allows():
    assert key_of("measure@My_faces") == "progress-measure-my-faces"


def test_a_short_stage_gets_no_bar(monkeypatch):
    monkeypatch.setattr(progress, "create_progress_artifact", lambda **_: pytest.fail("a bar was drawn"))
    followed("train", lambda _: None)("1/2 images")


def test_a_bar_that_cannot_be_drawn_ends_no_stage(monkeypatch):
    def refuse(**_):
        raise ConnectionError("no server")

    monkeypatch.setattr(progress, "LONG_S", 0.0)
    monkeypatch.setattr(progress, "EVERY_S", 0.0)
    monkeypatch.setattr(progress, "create_progress_artifact", refuse)
    lines: list[str] = []
    follow = followed("train", lines.append)
    follow("1/2 images")
    follow("2/2 images")
    assert len(lines) == 3
    assert "progress of train cannot be shown" in lines[1]
