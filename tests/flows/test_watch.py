"""Data lands: what counts as a change, when it is settled, and that it leads to a run."""

import json
import signal
from pathlib import Path

import pytest

from benchmarks.landing import seconds_from_event_to_run
from flows import watch
from flows.local_server.server import free_port
from flows.local_server.status import last_runs, schedule_lines
from flows.processes.workspace_lock import held
from flows.watch import QUIET_S, Known, assess
from pipeline.errors import FacemaskError
from pipeline.sources.change_detection import SourceFingerprint
from tests.flows.conftest import api_of, start_up, wait_for

NOW = 1_000_000.0
KNOWN = Known(seen="old", reported="old", reported_s=100.0)


def seen(digest, changed_s=NOW, fetched_s=0.0):
    return SourceFingerprint(digest, changed_s, fetched_s)


# What counts as landed.


def test_a_file_that_has_just_come_has_not_landed_yet():
    known, landed = assess(seen("new"), KNOWN, True, NOW)
    assert (known, landed) == (Known("new", "old", 100.0), False)


def test_what_two_checks_find_unchanged_has_landed():
    once, _ = assess(seen("new"), KNOWN, True, NOW)
    assert assess(seen("new"), once, True, NOW + 1)[1]


def test_what_still_grows_has_not_landed():
    once, _ = assess(seen("new"), KNOWN, True, NOW)
    assert not assess(seen("newer", NOW + 1), once, True, NOW + 1)[1]


def test_what_has_been_unchanged_for_a_minute_has_landed_at_the_first_check():
    assert assess(seen("new", NOW - QUIET_S), KNOWN, True, NOW)[1]


def test_reported_data_is_not_reported_again():
    assert assess(seen("old"), KNOWN, True, NOW) == (Known("old", "old", NOW), False)


def test_removed_files_are_not_reported():
    known, landed = assess(seen("fewer", changed_s=90.0), KNOWN, True, NOW)
    assert (known.reported, landed) == ("fewer", False)


def test_data_counts_as_reported_only_after_its_event():
    known, landed = assess(seen("new", NOW - QUIET_S), KNOWN, True, NOW)
    assert landed
    assert assess(seen("new", NOW - QUIET_S), known, True, NOW)[1]  # had the event not arrived


def test_the_first_check_of_a_curated_workspace_starts_nothing():
    known, landed = assess(seen("all", changed_s=NOW - 900, fetched_s=NOW - 800), None, True, NOW)
    assert (known.reported, landed) == ("all", False)


def test_the_first_check_reports_what_came_after_the_last_fetch():
    assert assess(seen("more", changed_s=NOW - 700, fetched_s=NOW - 800), None, True, NOW)[1]


def test_data_before_the_first_run_belongs_to_that_run():
    known, landed = assess(seen("first", changed_s=NOW - 700), None, False, NOW)
    assert (known.reported, landed) == ("first", False)
    assert not assess(seen("first", changed_s=NOW - 700, fetched_s=NOW), known, True, NOW)[1]
    assert assess(seen("more", changed_s=NOW - 600, fetched_s=NOW), known, True, NOW)[1]  # came during that run


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FACEMASK_WORK", raising=False)
    return tmp_path


def put(path, text="x"):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


# The flow.


def test_while_a_run_goes_on_nothing_is_checked(here):
    with held("run"):
        assert watch.watch.fn().message.startswith("not checked: a run is going on")
    assert not Path("work/watch.json").exists()


def test_a_source_that_does_not_answer_does_not_stop_the_others(here, monkeypatch):
    params = "sources:\n  far: {kind: folder, domain: masked, path: 'file:///nowhere/at/all'}\n"
    put("params.yaml", params + "  near: {kind: folder, domain: masked}\n")
    with Path("params.yaml").open("a") as file:
        file.write("fetch: {archive_images: 9, mirror: null, sample: {faces: 20, image_px: 128, seed: 1}}\n")
    monkeypatch.setattr(watch, "get_run_logger", lambda: __import__("logging").getLogger("test"))

    def look(name, *_):
        if name == "far":
            raise FacemaskError("not there")
        return {"inbox": seen("d")}

    monkeypatch.setattr(watch, "source_fingerprint", look)
    assert watch.watch.fn().message == "nothing new; did not answer: far"
    assert json.loads(Path("work/watch.json").read_text()).keys() == {"near/inbox"}


def test_an_image_in_the_inbox_leads_to_a_run_through_server_event_and_trigger(toy, prefect_env):
    put(
        toy / "params.yaml",
        "sources: {one: {kind: folder, domain: masked}}\n"
        "fetch: {archive_images: 9, mirror: null, sample: {faces: 20, image_px: 128, seed: 1}}\n",
    )
    put(toy / "data/manifest.parquet")  # something was curated here before
    put(toy / "data/inbox/one/1.jpg")
    port, log = free_port(), toy / "up.log"
    prefect_env.pop("FACEMASK_WORK", None)
    up = start_up(toy, prefect_env, log, "--port", str(port))
    try:
        api = api_of(toy)
        print(f"from seen to run started: {seconds_from_event_to_run(api):.1f} s")
        wait_for(lambda: (toy / "ran.log").is_file() and "one" in (toy / "ran.log").read_text(), "fetch runs")
        wait_for(lambda: last_runs(api, ["curate-and-train"])[0]["state_name"] == "Completed", "the run ends")
        assert len(last_runs(api, ["curate-and-train"])) == 1
        assert [line for line in schedule_lines(api, ["watch"]) if line.startswith("watch (a run when data lands): on")]
    finally:
        up.send_signal(signal.SIGINT)
        up.wait()
