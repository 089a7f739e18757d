"""Runs without a process that the server still counts as running: mark them Crashed, which frees their slot."""

from typing import Any

from flows.local_server.api import Api
from flows.processes.workspace_lock import holder

HEARTBEAT_S = 30  # how often a run sends a heartbeat; Prefect allows no less
_SILENT_S = 3 * HEARTBEAT_S
RULE = "facemask: crash runs that fell silent"
_HEARTBEAT = "prefect.flow-run.heartbeat"
_ENDS = [f"prefect.flow-run.{state}" for state in ("Completed", "Failed", "Cancelled", "Crashed")]


def crash_orphans(api: Api, flows: list[str], workers: list[str | None]) -> None:
    """Mark as Crashed the runs of `flows` that had one of `workers`, none of which runs now; print their names.

    A worker None means that the run had no worker. All processes of these runs ended with their guards, kill -9
    included. Runs of other workers, perhaps on another machine, are left to `watch_heartbeats`.
    """
    unfinished = {"state": {"type": {"any_": ["PENDING", "RUNNING", "CANCELLING"]}}}
    runs = api.post("/flow_runs/filter", {"flows": {"name": {"any_": flows}}, "flow_runs": unfinished})
    # `facemask run` has no worker, and neither has, for a moment, a run that a worker has just taken.
    running_here = (holder("run") or {}).get("run_id")
    state = {"type": "CRASHED", "name": "Crashed", "message": "Its process is gone: it was killed, or its machine."}
    for run in runs:
        if (run.get("labels") or {}).get("prefect.worker.name") in workers and run["id"] != running_here:
            api.post(f"/flow_runs/{run['id']}/set_state", {"state": state, "force": False})
            print(
                f"facemask: run {run['name']} had lost its process: marked Crashed; start it again",
                flush=True,
            )


def watch_heartbeats(api: Api) -> None:
    """Make the server mark as Crashed each run that sends no heartbeat for a while; done once a database.

    It finds runs that ended with another machine. An automation of this name that exists already is left unchanged.
    """
    if not api.post("/automations/filter", {"automations": {"name": {"any_": [RULE]}}}):
        api.post("/automations/", heartbeat_rule())


def heartbeat_rule() -> dict[str, Any]:
    """The automation: after a heartbeat, neither another nor an end within `_SILENT_S`."""
    return {
        "name": RULE,
        "description": f"A run that has not sent a heartbeat for {_SILENT_S} s has crashed; its slot is freed.",
        "enabled": True,
        "trigger": {
            "type": "event",
            "posture": "Proactive",
            "match": {"prefect.resource.id": "prefect.flow-run.*"},
            "for_each": ["prefect.resource.id"],
            "after": [_HEARTBEAT],
            "expect": [_HEARTBEAT, *_ENDS],
            "threshold": 1,
            "within": _SILENT_S,
        },
        "actions": [
            {
                "type": "change-flow-run-state",
                "state": "CRASHED",
                "name": "Crashed",
                "message": f"No heartbeat for {_SILENT_S} s: its process or its machine is gone.",
            }
        ],
    }
