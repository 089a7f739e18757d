"""The curating side of the GPU hand-off: give training to a worker of the pool `gpu`, and take the result back.

Data goes through the DVC remote, and its entries of dvc.lock through the server; flows/train_cyclegan.py is the other
side. Afterwards the flow runs the same stages here in any case: either DVC finds them up to date, or they train in this
process. The log says which, and why.
"""

import re
import time
from contextlib import suppress
from pathlib import Path

import httpx
import yaml
from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterKey,
    WorkerFilter,
    WorkerFilterStatus,
)
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelling

from flows.handoff.job import (
    HANDED_OVER,
    LOCK_ARTIFACT,
    HandoffParams,
    Job,
    changes,
    describe_job,
    handoff_params,
    merge_lock,
    needed_data,
    training_key,
)
from flows.handoff.state_store import StateStore, pull, push
from flows.processes.dvc_runner import Log
from pipeline.errors import FacemaskError

POOL = "gpu"
DEPLOYMENT = "train-cyclegan/train-cyclegan"

_PREFIX = re.compile(r"^Flow run encountered an exception: (\w+: )?")  # Prefect's, before an exception's own text
_POLL_S = 2.0
_SERVER_TIMEOUT_S = 600.0  # how long the server may not answer before the run is given up
_CANCEL_S = 60.0  # for a worker to end a cancelled run
_MAX_CRASHES = 3  # so many runs in a row that crashed before they copied any training are no accident


def hand_over(chosen: list[str], workspace: Path, log: Log) -> None:
    """Have a GPU worker do those of `train` and `evaluate` that are not up to date, and bring its results here.

    Nothing is done where params.yaml does not switch it on, `train` is not in `chosen`, or is up to date. Where no
    worker takes it, the log says so, and the caller trains. Raises FacemaskError where a worker took it and failed.
    """
    params = handoff_params(workspace)
    stages = [stage for stage in HANDED_OVER if stage in chosen]
    if params is None or "train" not in stages or not (changed := changes(["train"], workspace)):
        return
    if changed == {"changed outs"}:  # trained before, but the run was killed before all of it was here
        try:
            pull(["train"], workspace, log)
            return
        except FacemaskError as error:
            log(f"{error}; training again")
    job = describe_job(stages, workspace)
    store = StateStore(workspace, training_key(job, workspace))
    if reason := _why_no_worker():
        _train_here(reason, store, log)
        return
    push(needed_data(stages, workspace), workspace, log)
    if (outcome := _run_until_done(job, params, log)) is None:
        _train_here(f"nobody started it within {params.wait_minutes:g} minutes", store, log)
        return
    merge_lock(outcome, workspace)
    pull(stages, workspace, log)
    if left := changes(stages, workspace):
        raise FacemaskError(
            f"the GPU worker's result does not fit this folder ({', '.join(sorted(left))}): "
            f"see 'dvc status {' '.join(stages)}', then run again"
        )


def _run_until_done(job: Job, params: HandoffParams, log: Log) -> dict[str, object] | None:
    """Hand `job` over, again after a crash. Returns its stages' entries of dvc.lock; None if nobody started it."""
    crashes = 0
    with get_client(sync_client=True) as client:
        while (run := _run_to_its_end(client, job, params, log)) is not None:
            state = run.state
            assert state is not None
            if state.is_completed():
                return _lock_entries(client, run)
            if not state.is_crashed():
                reason = _PREFIX.sub("", state.message or "see its log")
                raise FacemaskError(f"{DEPLOYMENT} run '{run.name}' ended as {state.name}: {reason}")
            ran_s = run.total_run_time.total_seconds()
            crashes = crashes + 1 if ran_s < 60 * params.checkpoint_minutes else 0
            if crashes == _MAX_CRASHES:
                raise FacemaskError(
                    f"{crashes} GPU runs in a row crashed before they had copied any training to the DVC remote, "
                    f"the last one, '{run.name}', after {ran_s:.0f} s: see its log, then run again"
                )
            log(f"the worker of '{run.name}' is gone ({state.message or state.name}): handing over to the next one")
    return None


def _run_to_its_end(client: SyncPrefectClient, job: Job, params: HandoffParams, log: Log) -> FlowRun | None:
    """Start a run of `job`; return it once it has ended, or None if nobody started it in `wait_minutes`: cancelled.

    Whatever exception leaves this function, cancellation included, the run is cancelled.
    """
    run: FlowRun = run_deployment(DEPLOYMENT, parameters=dict(job), timeout=0)  # type: ignore[assignment]  # no await here
    log(f"handed over to pool '{POOL}': {DEPLOYMENT} run '{run.name}', which has its own log")
    give_up = time.monotonic() + 60 * params.wait_minutes
    answered = time.monotonic()
    started = cancelled = False
    try:
        while True:
            try:
                run, answered = client.read_flow_run(run.id), time.monotonic()
            except httpx.HTTPError:  # the server is busy or restarts, or the network is away: the worker goes on
                if time.monotonic() - answered > _SERVER_TIMEOUT_S:
                    raise
            assert run.state is not None
            if run.state.is_running() and not started:
                started = True
                log(f"worker {(run.labels or {}).get('prefect.worker.name', 'unknown')} has started '{run.name}'")
            if run.state.is_final() or (cancelled and time.monotonic() > give_up + _CANCEL_S):
                if not cancelled or run.state.is_completed():
                    return run
                log(f"nobody has started '{run.name}': it is {run.state.name} now")
                return None
            if not started and not cancelled and time.monotonic() > give_up:
                cancelled = True  # the run may just have started: two trainings must not run side by side
                _cancel(client, run, "No worker started it within handoff.wait_minutes.")
            else:
                time.sleep(_POLL_S)
    except BaseException:
        with suppress(Exception):  # the exception that ended this run matters more; the other side checks for it too
            _cancel(client, run, "The run that it was for has ended.")
        raise


def _cancel(client: SyncPrefectClient, run: FlowRun, why: str) -> None:
    client.set_flow_run_state(run.id, Cancelling(message=why))


def _train_here(why: str, store: StateStore, log: Log) -> None:
    """Log why training runs in this process, and bring the training state that an earlier worker left, if any."""
    log(f"no hand-off: {why}; training in this process")
    try:
        store.resume(log)
    except FacemaskError as error:
        log(f"{error}; this run trains without them")
    else:
        store.remove(log, superseded_only=True)


def _why_no_worker() -> str | None:
    """Why waiting for a GPU worker is useless; None where one is online."""
    online = WorkerFilter(status=WorkerFilterStatus(any_=["ONLINE"]))
    with get_client(sync_client=True) as client:
        try:
            client.read_deployment_by_name(DEPLOYMENT)
            workers = client.read_workers_for_work_pool(POOL, worker_filter=online)
        except ObjectNotFound:
            return f"this Prefect server has no deployment {DEPLOYMENT} ('facemask up' makes it)"
    return None if workers else f"no worker of pool '{POOL}' is online"


def _lock_entries(client: SyncPrefectClient, run: FlowRun) -> dict[str, object]:
    """The stages' entries of dvc.lock that a completed run returned."""
    found = client.read_artifacts(
        artifact_filter=ArtifactFilter(
            flow_run_id=ArtifactFilterFlowRunId(any_=[run.id]), key=ArtifactFilterKey(any_=[LOCK_ARTIFACT])
        )
    )
    if not found:
        raise FacemaskError(f"{DEPLOYMENT} run '{run.name}' returned no result: see its log, then run again")
    entries: dict[str, object] = yaml.safe_load(str(found[0].data))
    return entries
