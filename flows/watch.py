"""The flow `watch`: detects that data has landed and emits the event `dataset.landed`, which starts curate-and-train.

It checks each source's inbox, and the address that it is fetched from where that can be queried
(pipeline/sources/change_detection.py). A change counts once it is settled: nothing came for a minute, or two checks in
a row found the same. Removed files do not count. Nothing is started in a workspace where nothing was curated yet: a
first run may fetch 100 GB, so a person has to start it.

The last fingerprints are kept in work/watch.json and not in a Prefect Variable: they belong to this folder, and must
neither be mixed up with those of another folder on the same server, nor be lost with that server's database.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from prefect import flow, get_client, get_run_logger
from prefect.client.schemas.objects import State
from prefect.events import Event
from prefect.states import Completed

from flows.processes.workspace_lock import holder
from pipeline import params
from pipeline.errors import FacemaskError
from pipeline.paths import Paths
from pipeline.sources.change_detection import SourceFingerprint, record_change, source_fingerprint
from pipeline.sources.config import load_sources
from pipeline.sources.fetch_params import FetchParams
from pipeline.sources.inbox import unused_inboxes
from pipeline.storage.files import write_json

NAME = "watch"
LANDED = "dataset.landed"
QUIET_S = 60.0  # without a new file: a copy that pauses for longer may be reported twice, which costs a minute's run


@dataclass(frozen=True)
class Known:
    """What is known of one place: an inbox, or an address."""

    seen: str  # the digest at the last check
    reported: str  # the digest of the last event, or of data that needs none
    reported_s: float  # when the newest file of that data came, seconds since 1970


@flow(name=NAME)
def watch() -> State[None]:
    """Check every source once, and emit an event for each one where data has landed."""
    if run := holder("run"):
        return Completed(message=f"not checked: a run is going on (pid {run['pid']})")
    paths = Paths()
    known = _read(paths)
    landed: dict[str, dict[str, SourceFingerprint]] = {}  # source -> place -> its fingerprint
    failed = []
    mirror = params.load("fetch", FetchParams).mirror
    sources = load_sources()
    for name, source in sources.items():
        try:
            places = source_fingerprint(name, source, mirror, paths)
        except FacemaskError as error:
            get_run_logger().warning("%s: %s", name, error)
            failed.append(name)
            continue
        for place, seen in places.items():
            key = f"{name}/{place}"
            known[key], is_new = assess(seen, known.get(key), paths.manifest.is_file(), time.time())
            if is_new:
                landed.setdefault(name, {})[place] = seen
    # All changes are recorded before the first event: the run that it starts takes in those of the other sources too.
    for name, places in landed.items():
        for place, seen in places.items():
            record_change(name, place, seen.digest, paths)
    for name, places in landed.items():
        _emit(name, {place: seen.digest for place, seen in places.items()})
        known |= {f"{name}/{place}": Known(seen.digest, seen.digest, seen.changed_s) for place, seen in places.items()}
        _write(known, paths)
    _write(known, paths)
    unused = unused_inboxes(sources, paths)
    for line in unused:
        get_run_logger().warning("%s", line)
    outcome = f"landed: {', '.join(landed)}" if landed else "nothing new"
    outcome += f"; did not answer: {', '.join(failed)}" if failed else ""
    return Completed(message="; ".join([outcome, *unused]))


def assess(seen: SourceFingerprint, known: Known | None, curated: bool, now_s: float) -> tuple[Known, bool]:
    """What is known of a place after a check, and whether data has landed there, so that an event is due.

    `curated`: whether this workspace has had a run, which takes in all data that is there.
    """
    if known is None:
        known = Known(seen="", reported="", reported_s=seen.fetched_s)
    if not curated or seen.digest == known.reported or seen.changed_s <= known.reported_s:
        return Known(seen.digest, seen.digest, max(known.reported_s, seen.changed_s)), False
    settled = seen.digest == known.seen or now_s - seen.changed_s >= QUIET_S
    return Known(seen.digest, known.reported, known.reported_s), settled


def _emit(name: str, digests: Mapping[str, str]) -> None:
    """Emit the event. Over REST and not by `emit_event`, which only puts it into a queue: now it has arrived."""
    event = Event(
        event=LANDED,
        resource={"prefect.resource.id": f"dataset.{name}", "prefect.resource.name": name},
        payload={"digests": dict(digests)},
    )
    with get_client(sync_client=True) as client:
        client.request("POST", "/events", json=[event.model_dump(mode="json")]).raise_for_status()
    get_run_logger().info("%s: data has landed: event %s sent", name, LANDED)


def _read(paths: Paths) -> dict[str, Known]:
    """What is known, by SOURCE/PLACE; empty before the first check, or after an update of facemask."""
    try:
        values = json.loads((paths.work() / "watch.json").read_text(encoding="utf-8"))
        return {key: Known(**value) for key, value in values.items()}
    except (FileNotFoundError, ValueError, TypeError):
        return {}


def _write(known: Mapping[str, Known], paths: Paths) -> None:
    write_json(paths.work() / "watch.json", {key: asdict(value) for key, value in known.items()})
