"""How long from data seen to the run that takes it in: `python -m benchmarks.landing`.

A folder of its own is served by `facemask up`; images land in its inbox; `watch` is asked to look until it has seen a
settled change. Measured is from the event to the start of the run, by the server's own times. Prints JSON last.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from benchmarks.orchestration import clean_env, make_workspace
from flows.local_server.api import Api
from flows.local_server.server import api_url, free_port

LANDINGS = 5
_PATIENCE_S = 60.0
_LOOKS = 3


def seconds_from_seen_to_started(api: Api) -> float:
    """Have `watch` look until it tells of a landing; gives the seconds from then to the run's start.

    Raises TimeoutError if it tells of none, or none is followed by a run.
    """
    before = {run["id"] for run in _runs(api, "curate-and-train")}
    watch = api.get("/deployments/name/watch/watch")["id"]
    for _ in range(_LOOKS):
        look = api.post(f"/deployments/{watch}/create_flow_run", {})["id"]
        said = _until(lambda look=look: _ended(api, look), "the look ends")
        if said.startswith("landed"):
            break
    else:
        raise TimeoutError(f"nothing landed in {_LOOKS} looks: {said}")
    started = _until(lambda: [run for run in _runs(api, "curate-and-train") if run["id"] not in before], "a run starts")
    (event,) = api.post("/events/filter", {"filter": {"event": {"name": ["dataset.landed"]}}, "limit": 1})["events"]
    return (_time(started[0]["start_time"]) - _time(event["occurred"])).total_seconds()


def _runs(api: Api, flow: str) -> list[dict[str, Any]]:
    """The flow's runs that have started."""
    found = api.post("/flow_runs/filter", {"flows": {"name": {"any_": [flow]}}})
    return [run for run in found if run["start_time"]]


def _ended(api: Api, run: str) -> str | None:
    """The message of the state that a run ended in; None while it goes on. Raises RuntimeError if it ended badly."""
    state = api.get(f"/flow_runs/{run}")["state"]
    if state["type"] in ("FAILED", "CRASHED", "CANCELLED"):
        raise RuntimeError(f"the run ended as {state['name']}: {state['message']}")
    return state["message"] if state["type"] == "COMPLETED" else None


def _until(ask: Any, what: str) -> Any:
    deadline = time.monotonic() + _PATIENCE_S
    while not (answer := ask()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {_PATIENCE_S:.0f} s: {what}")
        time.sleep(0.1)
    return answer


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = make_workspace(Path(name) / "landing", {})
        params = yaml.safe_load((folder / "params.yaml").read_text())
        params["sources"] = {"photos": {"kind": "folder", "domain": "masked"}}
        (folder / "params.yaml").write_text(yaml.safe_dump(params))
        (folder / "data/manifest.parquet").touch()  # as if something had been curated
        port = free_port()
        command = [sys.executable, "-m", "flows.cli", "up", "--port", str(port)]
        up = subprocess.Popen(command, cwd=folder, env=clean_env(), stdout=subprocess.PIPE, text=True)
        try:
            assert up.stdout is not None
            while "facemask: ready" not in (line := up.stdout.readline()):
                assert line, "facemask up ended"
            api = Api(api_url(port), (folder / "work/prefect-password").read_text().strip())
            seconds = []
            for number in range(LANDINGS):
                inbox = folder / "data/inbox/photos"
                inbox.mkdir(exist_ok=True)
                (inbox / f"{number}.jpg").write_bytes(b"no image, and none is needed to start")
                seconds.append(seconds_from_seen_to_started(api))
                print(f"landing {number + 1}: {seconds[-1]:.1f} s", flush=True)
                _until(lambda: all(run["end_time"] for run in _runs(api, "curate-and-train")), "the run ends")
        finally:
            up.terminate()
            up.communicate(timeout=60)
    result = {
        "landings": LANDINGS,
        "seen_to_started_s": {"median": round(statistics.median(seconds), 1), "worst": round(max(seconds), 1)},
        "reach_s": 15,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
