"""Data lands: what counts as landed, when it is settled, and that it leads to a run."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from benchmarks.landing import seconds_from_seen_to_started
from flows import watch
from flows.local_server.api import Api
from flows.local_server.server import api_url, free_port
from flows.local_server.status import last_runs, schedule_lines
from flows.processes.workspace_lock import held
from flows.watch import QUIET_S, Known, judge
from pipeline.errors import FacemaskError
from pipeline.sources import change_detection as landing
from pipeline.sources.change_detection import SourceFingerprint
from pipeline.sources.config import FfhqSource, FolderSource, NamedSource
from pipeline.stages import fetch
from tests.flows.conftest import start_up, wait_for

PHOTOS = FolderSource(kind="folder", domain="masked")
NOW = 1_000_000.0
KNOWN = Known(seen="old", told="old", told_s=100.0)


def seen(digest, changed_s=NOW, fetched_s=0.0):
    return SourceFingerprint(digest, changed_s, fetched_s)


# What counts.


def test_a_file_that_has_just_come_is_waited_for():
    known, landed = judge(seen("new"), KNOWN, True, NOW)
    assert (known, landed) == (Known("new", "old", 100.0), False)


def test_the_same_in_two_looks_has_landed():
    once, _ = judge(seen("new"), KNOWN, True, NOW)
    assert judge(seen("new"), once, True, NOW + 1)[1]


def test_what_still_grows_has_not_landed():
    once, _ = judge(seen("new"), KNOWN, True, NOW)
    assert not judge(seen("newer", NOW + 1), once, True, NOW + 1)[1]


def test_what_has_been_quiet_for_a_minute_has_landed_at_the_first_look():
    assert judge(seen("new", NOW - QUIET_S), KNOWN, True, NOW)[1]


def test_what_was_told_is_not_told_again():
    assert judge(seen("old"), KNOWN, True, NOW) == (Known("old", "old", NOW), False)


def test_files_that_only_went_are_no_landing():
    known, landed = judge(seen("fewer", changed_s=90.0), KNOWN, True, NOW)
    assert (known.told, landed) == ("fewer", False)


def test_it_is_remembered_as_told_only_by_who_told_it():
    known, landed = judge(seen("new", NOW - QUIET_S), KNOWN, True, NOW)
    assert landed
    assert judge(seen("new", NOW - QUIET_S), known, True, NOW)[1]  # had the event not arrived


def test_the_first_sight_of_a_curated_workspace_starts_nothing():
    known, landed = judge(seen("all", changed_s=NOW - 900, fetched_s=NOW - 800), None, True, NOW)
    assert (known.told, landed) == ("all", False)


def test_the_first_sight_tells_of_what_came_after_the_last_fetch():
    assert judge(seen("more", changed_s=NOW - 700, fetched_s=NOW - 800), None, True, NOW)[1]


def test_nothing_is_started_before_the_first_run_and_all_that_lies_there_is_the_first_runs():
    known, landed = judge(seen("first", changed_s=NOW - 700), None, False, NOW)
    assert (known.told, landed) == ("first", False)
    assert not judge(seen("first", changed_s=NOW - 700, fetched_s=NOW), known, True, NOW)[1]
    assert judge(seen("more", changed_s=NOW - 600, fetched_s=NOW), known, True, NOW)[1]  # came during that run


# What is looked at.


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


def test_a_new_a_larger_and_a_newer_file_change_the_inboxs_digest(here):
    digests = [landing.source_fingerprint("photos", PHOTOS, None)["inbox"].digest]
    for change in (
        lambda: put("data/inbox/photos/a/1.jpg"),
        lambda: put("data/inbox/photos/a/1.jpg", "xy"),
        lambda: os.utime("data/inbox/photos/a/1.jpg", (5, 5)),
        lambda: put("data/inbox/photos/more.zip"),
    ):
        change()
        digests.append(landing.source_fingerprint("photos", PHOTOS, None)["inbox"].digest)
    assert len(set(digests)) == 5


def test_a_file_with_an_old_time_of_its_own_has_come_just_now(here):
    os.utime(put("data/inbox/photos/1.jpg"), (5, 5))
    assert time.time() - landing.source_fingerprint("photos", PHOTOS, None)["inbox"].changed_s < 10


def test_another_sources_inbox_and_hidden_files_are_not_looked_at(here):
    before = landing.source_fingerprint("photos", PHOTOS, None)["inbox"].digest
    put("data/inbox/others/1.jpg")
    put("data/inbox/photos/.part")
    landing.record_change("photos", "inbox", "d")
    assert landing.source_fingerprint("photos", PHOTOS, None)["inbox"].digest == before


def test_a_listing_elsewhere_is_looked_at(here):
    put("bucket/1.jpg")
    source = FolderSource(kind="folder", domain="masked", path=f"file://{here}/bucket")
    before = landing.source_fingerprint("photos", source, None)["source"].digest
    assert landing.source_fingerprint("photos", source, None)["source"].digest == before
    put("bucket/2.jpg")
    assert landing.source_fingerprint("photos", source, None)["source"].digest != before


def test_a_zip_elsewhere_is_asked_for_its_etag(here, tmp_path):
    from http.server import BaseHTTPRequestHandler, HTTPServer
    from threading import Thread

    asked, etag = [], ["one"]

    class Answer(BaseHTTPRequestHandler):
        def do_HEAD(self):
            asked.append(self.path)
            self.send_response(200)
            self.send_header("ETag", etag[0])
            self.end_headers()

        def log_message(self, *_): ...

    server = HTTPServer(("127.0.0.1", 0), Answer)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/faces.zip"
        source = FolderSource(kind="folder", domain="masked", path=url)
        before = landing.source_fingerprint("photos", source, None)["source"].digest
        assert landing.source_fingerprint("photos", source, None)["source"].digest == before
        etag[0] = "two"
        assert landing.source_fingerprint("photos", source, None)["source"].digest != before
        assert set(asked) == {"/faces.zip"}
    finally:
        server.shutdown()
        server.server_close()
    with pytest.raises(FacemaskError, match="cannot be asked") as caught:
        landing.source_fingerprint("photos", source, None)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "source",
    [
        FfhqSource(kind="ffhq", domain="unmasked", images="thumbnails128x128", ids=(0, 9)),
        NamedSource(kind="maskedface", domain="masked"),
        NamedSource(kind="curated", domain="masked"),
        NamedSource(kind="portraits", domain="unmasked"),
        NamedSource(kind="sample", domain="masked"),
    ],
)
def test_google_drive_and_what_digests_fix_are_not_asked(here, source):
    assert landing.source_fingerprint("any", source, None).keys() == {"inbox"}


def test_what_landed_makes_dvc_fetch_again_and_a_settled_zip_be_fetched_anew(here):
    lot = fetch.Lot("faces.zip", None)  # type: ignore[arg-type]
    state = here / "state"
    put(state / "containers/faces.zip")
    fetch._settle("photos", state, lot, 0)
    assert fetch._settled("photos", state, lot)
    landing.record_change("photos", "source", "another version")
    assert not fetch._settled("photos", state, lot)
    assert [path.name for path in Path("data/inbox").rglob("*") if path.is_file()] == ["photos.source"]


# The flow.


def test_while_a_run_goes_on_nothing_is_looked_at_and_nothing_remembered(here):
    with held("run", lambda facts: ""):
        assert watch.watch.fn().message.startswith("not looked: a run is going on")
    assert not Path("work/watch.json").exists()


def test_a_source_that_does_not_answer_keeps_no_other_from_being_looked_at(here, monkeypatch):
    params = "sources:\n  far: {kind: folder, domain: masked, path: 'file:///nowhere/at/all'}\n"
    put("params.yaml", params + "  near: {kind: folder, domain: masked}\n")
    with Path("params.yaml").open("a") as file:
        file.write("fetch: {archive_images: 9, mirror: null, sample: {faces: 20, image_px: 128, seed: 1}}\n")
    monkeypatch.setattr(watch, "get_run_logger", lambda: __import__("logging").getLogger("test"))

    def look(name, *_):
        if name == "far":
            raise FacemaskError("not there")
        return {"inbox": seen("d")}

    monkeypatch.setattr(watch, "look", look)
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
        api = Api(api_url(port), (toy / "work/prefect-password").read_text().strip())
        seconds = seconds_from_seen_to_started(api)
        print(f"from seen to run started: {seconds:.1f} s")
        assert seconds <= 15
        wait_for(lambda: (toy / "ran.log").is_file() and "one" in (toy / "ran.log").read_text(), 60, "fetch runs")
        wait_for(lambda: last_runs(api, ["curate-and-train"])[0]["state_name"] == "Completed", 60, "the run ends")
        assert len(last_runs(api, ["curate-and-train"])) == 1
        assert [line for line in schedule_lines(api, ["watch"]) if line.startswith("watch (a run when data lands): on")]
    finally:
        up.send_signal(signal.SIGINT)
        up.wait(60)
