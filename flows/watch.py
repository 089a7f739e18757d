"""The flow `watch`: sees that data has landed and says so by the event `dataset.landed`, which starts curate-and-train.

It looks at each source's inbox, and at the place that it is fetched from where that can be asked
(pipeline/sources/change_detection.py). A change counts once it is settled: nothing came for a minute, or two looks in a row saw the
same. Files that only went are no landing. Nothing is started in a workspace where nothing was curated yet: a first run
may fetch 100 GB, and is a person's to start.

What was seen is remembered in work/watch.json and not in a Prefect Variable: it tells of this folder, and must neither
be mixed up with another one's on the same server, nor be lost with that server's database.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from prefect import flow, get_client, get_run_logger
from prefect.client.schemas.objects import State
from prefect.events import Event
from prefect.states import Completed

from flows.processes.workspace_lock import holder
from pipeline import params
from pipeline.errors import FacemaskError
from pipeline.sources.change_detection import SourceFingerprint, record_change, source_fingerprint
from pipeline.sources.config import load_sources
from pipeline.stages.fetch import FetchParams
from pipeline.storage.files import work_folder, write_json

NAME = "watch"
LANDED = "dataset.landed"
MANIFEST = Path("data/manifest.parquet")
QUIET_S = 60.0  # without a new file: a copy that pauses for longer may be told of twice, which costs a run of a minute


@dataclass(frozen=True)
class Known:
    """What is remembered of one place."""

    seen: str  # the digest at the last look
    told: str  # the digest that was last told of, or that needed no telling
    told_s: float  # when the newest file came that was there then, seconds since 1970


@flow(name=NAME)
def watch() -> State[None]:
    """Look once at every source; tell of what has landed."""
    if going := holder("run"):
        return Completed(message=f"not looked: a run is going on (pid {going['pid']})")
    known = _remembered()
    landed: dict[str, dict[str, SourceFingerprint]] = {}  # source -> place -> what was seen there
    unanswered = []
    mirror = params.load("fetch", FetchParams).mirror
    for name, source in load_sources().items():
        try:
            looks = source_fingerprint(name, source, mirror)
        except FacemaskError as error:
            get_run_logger().warning("%s: %s", name, error)
            unanswered.append(name)
            continue
        for place, seen in looks.items():
            key = f"{name}/{place}"
            known[key], is_new = judge(seen, known.get(key), MANIFEST.is_file(), time.time())
            if is_new:
                landed.setdefault(name, {})[place] = seen
    # All notes before the first event: the run that it starts takes in what landed at the other sources too.
    for name, places in landed.items():
        for place, seen in places.items():
            record_change(name, place, seen.digest)
    for name, places in landed.items():
        _tell(name, {place: seen.digest for place, seen in places.items()})
        known |= {f"{name}/{place}": Known(seen.digest, seen.digest, seen.changed_s) for place, seen in places.items()}
        _remember(known)
    _remember(known)
    words = f"landed: {', '.join(landed)}" if landed else "nothing new"
    return Completed(message=words + (f"; did not answer: {', '.join(unanswered)}" if unanswered else ""))


def judge(seen: SourceFingerprint, known: Known | None, curated: bool, now_s: float) -> tuple[Known, bool]:
    """What to remember of a look, and whether it is to be told first that something landed.

    `curated`: whether this workspace has had a run, which is what takes in all that lies there so far.
    """
    if known is None:
        known = Known(seen="", told="", told_s=seen.fetched_s)
    if not curated or seen.digest == known.told or seen.changed_s <= known.told_s:
        return Known(seen.digest, seen.digest, max(known.told_s, seen.changed_s)), False
    settled = seen.digest == known.seen or now_s - seen.changed_s >= QUIET_S
    return Known(seen.digest, known.told, known.told_s), settled


def _tell(name: str, digests: Mapping[str, str]) -> None:
    """Emit the event. Over REST and not by `emit_event`, which only puts it into a queue: now it has arrived."""
    event = Event(
        event=LANDED,
        resource={"prefect.resource.id": f"dataset.{name}", "prefect.resource.name": name},
        payload={"digests": dict(digests)},
    )
    with get_client(sync_client=True) as client:
        client.request("POST", "/events", json=[event.model_dump(mode="json")]).raise_for_status()
    get_run_logger().info("%s: data has landed: %s told", name, LANDED)


def _remembered() -> dict[str, Known]:
    """By SOURCE/PLACE; nothing where nothing was seen yet."""
    try:
        values = json.loads(_memory().read_text(encoding="utf-8"))
        return {key: Known(**value) for key, value in values.items()}
    except (FileNotFoundError, ValueError, TypeError):  # of another version: as at a first look
        return {}


def _remember(known: Mapping[str, Known]) -> None:
    write_json(_memory(), {key: asdict(value) for key, value in known.items()})


def _memory() -> Path:
    return work_folder() / "watch.json"
