"""A stage's progress messages become a bar in Prefect's UI."""

from collections.abc import Iterator

import pytest

from flows import progress
from flows.local_server.status import _progress, model_lines
from flows.processes.workspace_lock import Lock, held, holder
from flows.progress import key_of, show_progress
from pipeline.messages import Message
from pipeline.paths import Paths
from pipeline.storage.files import write_json


def test_a_key_has_what_prefect_allows():
    assert key_of("measure@My_faces") == "progress-measure-my-faces"


@pytest.fixture
def lock(tmp_path, monkeypatch) -> Iterator[Lock]:
    """The lock of a run in the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FACEMASK_WORK", raising=False)
    with held("run") as lock:
        yield lock


def test_the_last_progress_of_the_stage_that_runs_is_part_of_the_status(lock):
    lock.update(stage="train", number=3, of=4)
    show_progress("train", lock, print)(Message("progress", "1 of 2 images, 5 s left", 1, 2))
    run = holder("run")
    assert run is not None
    assert _progress(run)[1:] == ["50%: 1 of 2 images, 5 s left"]


def test_the_status_names_the_promoted_model_and_a_newer_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert model_lines() == []
    models = [{"name": "v1", "verdict": "the first one"}, {"name": "v2", "verdict": "worse than v1"}]
    write_json(Paths().registry / "models.json", {"promoted": "v1", "models": models})
    assert model_lines() == ["v1 is promoted: the first one", "v2 is the newest: worse than v1"]


def test_a_short_stage_gets_no_bar(monkeypatch, lock):
    monkeypatch.setattr(progress, "create_progress_artifact", lambda **_: pytest.fail("a bar was drawn"))
    show_progress("train", lock, print)(Message("progress", "1 of 2 images", 1, 2))


def test_a_bar_that_cannot_be_drawn_ends_no_stage(monkeypatch, lock):
    def refuse(**_):
        raise ConnectionError("no server")

    monkeypatch.setattr(progress, "LONG_S", 0.0)
    monkeypatch.setattr(progress, "EVERY_S", 0.0)
    monkeypatch.setattr(progress, "create_progress_artifact", refuse)
    lines: list[str] = []
    on_message = show_progress("train", lock, lines.append)
    on_message(Message("progress", "1 of 2 images", 1, 2))
    on_message(Message("progress", "2 of 2 images", 2, 2))
    assert len(lines) == 1
    assert "progress of train cannot be shown" in lines[0]
