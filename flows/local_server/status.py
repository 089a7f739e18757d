"""`facemask status`: what runs in this folder, its last runs, its schedule, and what to do next."""

import json
import os
import sys
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flows.local_server.api import Api
from flows.local_server.past_runs import past_runs
from flows.local_server.server import is_healthy
from flows.local_server.up import WITHOUT_WORKER, deployments
from flows.processes.elapsed import clock
from flows.processes.workspace_lock import Holder, holder
from pipeline.paths import MODELS_JSON, Paths

_RUNS_SHOWN = 5
_WATCH = "watch"  # its runs, one every ten minutes, would hide the others


def status() -> None:
    """Print it; status 1 if `facemask up` does not run here, or is not ready yet."""
    served = deployments(Path("prefect.yaml"))
    up, run = holder("up"), holder("run")
    going_on = _progress(run) if run else []
    if up is None:
        print(f"facemask: not up in {Path.cwd()}")
        _print_rows("runs", past_lines([name for name in served if name != _WATCH], run))
        _print_rows("going on", going_on)
        _print_rows("model", model_lines())
        _print_rows("next", ["wait for the run" if run else "facemask up    (or, without a server: facemask run)"])
        sys.exit(1)
    if "url" not in up or not is_healthy(up["url"]):
        print(f"facemask: starting, for {clock(time.time() - up['since'])} (pid {up['pid']})")
        sys.exit(1)
    api = Api(up["url"], _password(up))
    print(f"facemask: up at {up['page']} for {clock(time.time() - up['since'])} (pid {up['pid']})")
    runs = last_runs(api, [name for name in served if name != _WATCH])
    _print_rows("workers", worker_lines(api, served.values()))
    _print_rows("runs", [_run_line(run) for run in runs] or ["none yet"])
    _print_rows("going on", going_on)
    _print_rows("model", model_lines())
    _print_rows("schedule", schedule_lines(api, list(served)))
    _print_rows("next", [_advice(run, runs, up)])


def past_lines(flows: list[str], run: Holder | None) -> list[str]:
    """The last runs of these flows, for which no server is needed; one that ended without a word was killed."""
    found = past_runs(flows, _RUNS_SHOWN)
    for past in found:
        if past["end_time"] is None and past["id"] != (run or {}).get("run_id"):
            past["state_name"] = "Killed"
    return [_run_line(past) for past in found]


def worker_lines(api: Api, pools: Iterable[str]) -> list[str]:
    """How many workers each pool has online."""
    lines = []
    for pool in dict.fromkeys(pools):
        online = api.post(f"/work_pools/{pool}/workers/filter", {"workers": {"status": {"any_": ["ONLINE"]}}})
        idle = "the flow trains in its own process" if pool in WITHOUT_WORKER else "its runs wait"
        lines.append(f"{pool}: {len(online)} online" if online else f"{pool}: none online, {idle}")
    return lines


def last_runs(api: Api, flows: list[str]) -> list[dict[str, Any]]:
    """The last runs of these flows that have started, or were refused, as Prefect's API has them; the newest first."""
    query = {
        "flows": {"name": {"any_": flows}},
        "flow_runs": {"state": {"type": {"not_any_": ["SCHEDULED"]}}},
        "sort": "EXPECTED_START_TIME_DESC",
        "limit": _RUNS_SHOWN,
    }
    found: list[dict[str, Any]] = api.post("/flow_runs/filter", query)
    return found


def schedule_lines(api: Api, flows: list[str]) -> list[str]:
    """When the schedule of each flow starts it next, or that it is off."""
    lines = []
    for deployment in api.post("/deployments/filter", {"flows": {"name": {"any_": flows}}}):
        name = "watch (a run when data lands)" if deployment["name"] == _WATCH else deployment["name"]
        if not deployment["schedules"]:
            continue  # it is started by another run
        if deployment["paused"] or not any(schedule["active"] for schedule in deployment["schedules"]):
            lines.append(f"{name}: off (switch it on in prefect.yaml, then 'facemask up' again)")
            continue
        query = {
            "deployments": {"id": {"any_": [deployment["id"]]}},
            "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}, "tags": {"all_": ["auto-scheduled"]}},
            "sort": "EXPECTED_START_TIME_ASC",
            "limit": 1,
        }
        planned = api.post("/flow_runs/filter", query)  # the server plans some seconds after a deployment is made
        lines.append(f"{name}: on, next {_local(planned[0]['expected_start_time']) if planned else 'not planned yet'}")
    return lines


def _password(up: Holder) -> str | None:
    """The password of the server of this `facemask up`: its own, or that of the server elsewhere."""
    if file := up["password_file"]:
        return Path(file).read_text(encoding="utf-8").strip()
    return os.environ.get("PREFECT_API_AUTH_STRING")


def _run_line(run: dict[str, Any]) -> str:
    line = f"{_local(run['start_time'] or run['expected_start_time'])}  {run['state_name']:<10} {run['name']}"
    if run["start_time"] and run["end_time"]:
        line += f", {clock(run['total_run_time'])}"
    if run["state_name"] != "Running" and (message := run["state"].get("message")):
        line += f": {' '.join(message.split())[:100]}"
    return line


def _progress(run: Holder) -> list[str]:
    """The stage that runs, and its own last line of progress."""
    where = f"stage {run['number']} of {run['of']}: {run['stage']}, " if "stage" in run else ""
    return [f"{where}for {clock(time.time() - run['since'])} (pid {run['pid']})", *filter(None, [run.get("progress")])]


def model_lines() -> list[str]:
    """The promoted model, and the newest one where that is another."""
    try:
        known = json.loads((Paths().registry / MODELS_JSON).read_text(encoding="utf-8"))
        models = {model["name"]: model for model in known["models"]}
        lines = [f"{name} is promoted: {models[name]['verdict']}" for name in [known["promoted"]] if name in models]
        newest = next(reversed(models), None)
        if newest and newest != known["promoted"]:
            lines.append(f"{newest} is the newest: {models[newest]['verdict']}")
        return lines
    except (OSError, ValueError, KeyError, TypeError):  # none yet; `facemask models` says what is wrong with the file
        return []


def _advice(run: Holder | None, runs: list[dict[str, Any]], up: Holder) -> str:
    if not up.get("ready"):
        return "wait a moment: the deployments are still being made"
    if run:
        return "wait for the run; its log is on the page"
    start = "prefect deployment run curate-and-train"
    if runs and runs[0]["state_name"] in ("Failed", "Crashed"):
        return f"see why on the page, then start it again, it goes on: {start}"
    return start


def _print_rows(name: str, lines: list[str]) -> None:
    for number, line in enumerate(lines):
        print(f"  {name if number == 0 else '':<9} {line}")


def _local(moment: str) -> str:
    """A UTC time of Prefect's as this machine's time."""
    then = datetime.fromisoformat(moment)
    return then.replace(tzinfo=then.tzinfo or UTC).astimezone().strftime("%Y-%m-%d %H:%M")
