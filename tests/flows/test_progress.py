"""A stage's progress messages become a bar in Prefect's UI."""

import pytest

from flows import progress
from flows.progress import key_of, show_progress
from pipeline.messages import Message


def test_a_key_has_what_prefect_allows():
    assert key_of("measure@My_faces") == "progress-measure-my-faces"


def test_a_short_stage_gets_no_bar(monkeypatch):
    monkeypatch.setattr(progress, "create_progress_artifact", lambda **_: pytest.fail("a bar was drawn"))
    show_progress("train", print)(Message("progress", "1 of 2 images", 1, 2))


def test_a_bar_that_cannot_be_drawn_ends_no_stage(monkeypatch):
    def refuse(**_):
        raise ConnectionError("no server")

    monkeypatch.setattr(progress, "LONG_S", 0.0)
    monkeypatch.setattr(progress, "EVERY_S", 0.0)
    monkeypatch.setattr(progress, "create_progress_artifact", refuse)
    lines: list[str] = []
    on_message = show_progress("train", lines.append)
    on_message(Message("progress", "1 of 2 images", 1, 2))
    on_message(Message("progress", "2 of 2 images", 2, 2))
    assert len(lines) == 1
    assert "progress of train cannot be shown" in lines[0]
