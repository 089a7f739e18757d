"""`facemask status` while nothing is up: the last runs, read from the database that Prefect itself makes."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prefect.server.database import orm_models
from sqlalchemy import create_engine
from sqlalchemy.orm import Session
from sqlalchemy.schema import CreateTable

from flows.local_server.past_runs import database, past_runs
from flows.local_server.status import past_lines, status
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with a database of Prefect's own tables: three runs of curate-and-train, and one of watch."""
    home = tmp_path_factory.mktemp("prefect")
    engine = create_engine(f"sqlite:///{home / 'prefect.db'}")
    with engine.begin() as connection:
        for model in (orm_models.Flow, orm_models.FlowRun, orm_models.FlowRunState):
            connection.execute(CreateTable(model.__table__))  # not its indexes, of which Prefect names some twice
    start = datetime(2026, 11, 27, 22, 11, tzinfo=UTC)
    with Session(engine) as session:
        flows = {name: orm_models.Flow(name=name) for name in ("curate-and-train", "watch")}
        session.add_all(flows.values())
        session.flush()
        for minutes, (flow, name, kind, message) in enumerate(
            [
                ("curate-and-train", "5 new images, 22:11", "COMPLETED", "model v2 promoted"),
                ("curate-and-train", "all stages, 22:30", "RUNNING", None),
                ("curate-and-train", "planned", "SCHEDULED", None),
                ("watch", "looked", "COMPLETED", None),
            ]
        ):
            began = start + timedelta(minutes=minutes)
            run = orm_models.FlowRun(
                flow_id=flows[flow].id, name=name, state_type=kind, state_name=kind.capitalize(),
                expected_start_time=began, start_time=began if kind != "SCHEDULED" else None,
                end_time=began + timedelta(seconds=90) if kind == "COMPLETED" else None,
            )  # fmt: skip
            session.add(run)
            session.flush()
            state = orm_models.FlowRunState(flow_run_id=run.id, type=kind, name=kind.capitalize(), message=message)
            session.add(state)
            session.flush()
            run.state_id = state.id
        session.commit()
    engine.dispose()
    return home


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FACEMASK_WORK", raising=False)
    monkeypatch.delenv("PREFECT_HOME", raising=False)


def test_started_runs_are_shown_without_a_server_the_newest_first(home, monkeypatch):
    monkeypatch.setenv("PREFECT_HOME", str(home))
    lines = past_lines(["curate-and-train"], None)
    assert [line.split("  ", 1)[1].strip() for line in lines] == [
        "Killed     all stages, 22:30",
        "Completed  5 new images, 22:11, 1:30: model v2 promoted",
    ]


def test_the_run_that_is_going_on_was_not_killed(home, monkeypatch):
    monkeypatch.setenv("PREFECT_HOME", str(home))
    newest = past_runs(["curate-and-train"], 1)[0]
    (line, _) = past_lines(["curate-and-train"], {"run_id": newest["id"]})
    assert "Running    all stages" in line


def test_the_status_shows_them_while_nothing_is_up(home, monkeypatch, capsys):
    monkeypatch.setenv("PREFECT_HOME", str(home))
    Path("prefect.yaml").write_bytes((ROOT / "prefect.yaml").read_bytes())
    with pytest.raises(SystemExit):
        status()
    shown = capsys.readouterr().out
    assert "5 new images, 22:11" in shown and "looked" not in shown


def test_the_database_is_this_folders_own_by_default():
    assert database() == Path("work/prefect/prefect.db")


@pytest.mark.parametrize("content", [None, b"", b"no database"])
def test_without_a_database_of_prefect_there_are_no_runs(content, monkeypatch, tmp_path):
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    if content is not None:
        (tmp_path / "prefect.db").write_bytes(content)
    assert past_runs(["curate-and-train"], 5) == []
