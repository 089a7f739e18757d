"""The time from the event `dataset.landed` to the start of the run that it triggers: `python -m benchmarks.landing`.

`facemask up` serves a new workspace; images are put into its inbox; the flow `watch` runs until it reports new data.
Times are those of the Prefect server. Prints JSON last.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import yaml

from benchmarks.orchestration import clean_env, make_workspace
from flows.local_server.api import Api
from flows.local_server.server import api_url, free_port

LANDINGS = 5
T = TypeVar("T")
_TIMEOUT_S = 600.0
_MAX_CHECKS = 3


def seconds_from_event_to_run(api: Api) -> float:
    """Run `watch` until it reports new data; return the seconds from its event to the start of the run.

    Raises TimeoutError if it reports nothing, or no run starts.
    """
    before = {run["id"] for run in _runs(api, "curate-and-train")}
    watch = api.get("/deployments/name/watch/watch")["id"]
    for _ in range(_MAX_CHECKS):
        check = api.post(f"/deployments/{watch}/create_flow_run", {})["id"]
        outcome = _wait_for(lambda check=check: _outcome(api, check), "the check ends")
        if outcome.startswith("landed"):
            break
    else:
        raise TimeoutError(f"no event in {_MAX_CHECKS} checks: {outcome}")
    new = _wait_for(lambda: [run for run in _runs(api, "curate-and-train") if run["id"] not in before], "a run starts")
    # The newest one: the server stores events some seconds late, but it starts the run after it has stored this one.
    (event,) = api.post("/events/filter", {"filter": {"event": {"name": ["dataset.landed"]}}, "limit": 1})["events"]
    return (_time(new[0]["start_time"]) - _time(event["occurred"])).total_seconds()


def _runs(api: Api, flow: str) -> list[dict[str, Any]]:
    """Return the runs of a flow that have started."""
    found = api.post("/flow_runs/filter", {"flows": {"name": {"any_": [flow]}}})
    return [run for run in found if run["start_time"]]


def _outcome(api: Api, run: str) -> str | None:
    """Return the message of a completed run, None while it runs. Raises RuntimeError if it failed."""
    state = api.get(f"/flow_runs/{run}")["state"]
    if state["type"] in ("FAILED", "CRASHED", "CANCELLED"):
        raise RuntimeError(f"the run ended as {state['name']}: {state['message']}")
    return state["message"] if state["type"] == "COMPLETED" else None


def _wait_for(condition: Callable[[], T], what: str) -> T:
    """Return the first true value of `condition`. Raises TimeoutError after _TIMEOUT_S."""
    deadline = time.monotonic() + _TIMEOUT_S
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {_TIMEOUT_S:.0f} s: {what}")
        time.sleep(0.1)
    return value


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = make_workspace(Path(name) / "landing", {})
        params = yaml.safe_load((folder / "params.yaml").read_text())
        params["sources"] = {"photos": {"kind": "folder", "domain": "masked"}}
        (folder / "params.yaml").write_text(yaml.safe_dump(params))
        (folder / "data/manifest.parquet").touch()  # `watch` starts no run in a workspace without one
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
                (inbox / f"{number}.jpg").write_bytes(b"not an image: the run starts all the same")
                seconds.append(seconds_from_event_to_run(api))
                print(f"landing {number + 1}: {seconds[-1]:.1f} s", flush=True)
                _wait_for(lambda: all(run["end_time"] for run in _runs(api, "curate-and-train")), "the run ends")
        finally:
            up.terminate()
            up.communicate(timeout=60)
    result = {
        "landings": LANDINGS,
        "event_to_run_s": {"median": round(statistics.median(seconds), 1), "worst": round(max(seconds), 1)},
        "target_s": 15,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
