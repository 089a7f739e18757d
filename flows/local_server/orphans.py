"""Runs whose process is gone though the server thinks they go on: mark them Crashed, which frees their slot."""

from typing import Any

from flows.local_server.api import Api
from flows.processes.workspace_lock import holder

HEARTBEAT_S = 30  # how often a run says that it lives; Prefect allows no less
_SILENT_S = 3 * HEARTBEAT_S
RULE = "facemask: crash runs that fell silent"
_ENDED = ["Completed", "Failed", "Cancelled", "Crashed"]


def crash_orphans(api: Api, flows: list[str], workers: list[str | None]) -> list[str]:
    """Mark as Crashed the runs of `flows` that had one of `workers`, none of which runs now; None is no worker.

    Whatever they had started ended with them, kill -9 included, since it is guarded. Runs of other workers, perhaps on
    another machine, are left to `watch_heartbeats`. Gives the runs' names.
    """
    going: list[dict[str, Any]] = api.post(
        "/flow_runs/filter",
        {
            "flows": {"name": {"any_": flows}},
            "flow_runs": {"state": {"type": {"any_": ["PENDING", "RUNNING", "CANCELLING"]}}},
        },
    )
    # `facemask run` has no worker, and neither has, for a moment, a run that a worker has just taken.
    working = (holder("run") or {}).get("run_id")
    gone = [
        run for run in going if (run.get("labels") or {}).get("prefect.worker.name") in workers and run["id"] != working
    ]
    for run in gone:
        state = {"type": "CRASHED", "name": "Crashed", "message": "Its process is gone: it was killed, or its machine."}
        api.post(f"/flow_runs/{run['id']}/set_state", {"state": state, "force": False})
    return [run["name"] for run in gone]


def watch_heartbeats(api: Api) -> None:
    """Let the server itself mark as Crashed a run of which it has heard nothing for a while; done once a database.

    It is what finds runs that ended with another machine. A rule of this name that is there is left as it is.
    """
    found = api.post("/automations/filter", {"automations": {"name": {"any_": [RULE]}}})
    if not found:
        api.post("/automations/", heartbeat_rule())


def heartbeat_rule() -> dict[str, Any]:
    """The automation: after a heartbeat, neither another nor an end within `_SILENT_S`."""
    heartbeat = "prefect.flow-run.heartbeat"
    return {
        "name": RULE,
        "description": f"A run that has not sent a heartbeat for {_SILENT_S} s has crashed; its slot is freed.",
        "enabled": True,
        "trigger": {
            "type": "event",
            "posture": "Proactive",
            "match": {"prefect.resource.id": "prefect.flow-run.*"},
            "for_each": ["prefect.resource.id"],
            "after": [heartbeat],
            "expect": [heartbeat, *(f"prefect.flow-run.{state}" for state in _ENDED)],
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
