"""The flow `train-cyclegan`, on a GPU machine: does the stages that curate-and-train hands over, in its own clone.

Data is moved through the DVC remote; the server carries only digests. flows/handoff/curating_side.py starts it, and it
ends when the run that it trains for ends. Training is copied to the remote as it goes, so that a worker that is taken
away costs `handoff.checkpoint_minutes` at most: the next one finds the copy and goes on.
"""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import UUID

import yaml
from prefect import flow, get_client, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run
from prefect.states import Cancelling

from flows.curate_and_train import stage_task
from flows.handoff.job import (
    LOCK_ARTIFACT,
    Job,
    handoff_params,
    lock_entries,
    needed_data,
    refuse_other_code,
    refuse_unknown_stages,
    training_key,
    write_lock,
)
from flows.handoff.state_store import StateStore, pull, push
from flows.processes.dvc_runner import Log
from flows.processes.workspace_lock import held, holder
from pipeline.errors import FacemaskError

NAME = "train-cyclegan"

_PARENT_POLL_S = 10.0
_CANCEL_S = 30.0  # for the worker to end this run; after it, the run ends itself


@flow(name=NAME)
def train_cyclegan(stages: list[str], dvc_lock: str, code: dict[str, str]) -> None:
    """Do `stages` for another run. flows/handoff/curating_side.py starts this; it is not meant to be started by hand.

    Args:
        stages: stages of dvc.yaml: train, evaluate or both.
        dvc_lock: text of dvc.lock: the digests of their data, which is in the DVC remote.
        code: path -> sha256 of the other files that they read; a clone with others is refused.
    """
    refuse_unknown_stages(stages)
    workspace = Path.cwd()
    log = get_run_logger().info
    job = Job(stages=stages, dvc_lock=dvc_lock, code=code)
    parent = flow_run.parent_flow_run_id
    refuse_same_folder(parent, workspace)
    with held("run") as lock, cancelled_with(parent, log):
        refuse_other_code(job, workspace)
        params = handoff_params(workspace)
        assert params is not None  # params.yaml is the curating side's, by its digest
        store = StateStore(workspace, training_key(job, workspace))
        write_lock(dvc_lock, workspace)
        transfer("pull", needed_data(stages, workspace))
        store.resume(log)
        with store.pushing(params.checkpoint_minutes, log):
            for number, stage in enumerate(stages, start=1):
                lock.update(run_id=flow_run.id, stage=stage, number=number, of=len(stages), progress="")
                stage_task(stage)(stage, lock)
        transfer("push", stages)
        create_markdown_artifact(
            key=LOCK_ARTIFACT,
            markdown=yaml.safe_dump(lock_entries(stages, workspace), sort_keys=False),
            description=f"The entries of {' and '.join(stages)} in dvc.lock: with them, `dvc pull` brings the result.",
        )
        store.remove(log)


# The retries are for a network that fails for a moment.
@task(task_run_name="{verb}", cache_policy=NO_CACHE, retries=2, retry_delay_seconds=[10, 60])
def transfer(verb: str, targets: list[str]) -> None:
    """`dvc pull` or `dvc push` of `targets`."""
    {"pull": pull, "push": push}[verb](targets, Path.cwd(), get_run_logger().info)


def refuse_same_folder(parent: str | None, workspace: Path) -> None:
    """Raise FacemaskError where the worker runs in the folder of the run that it is to train for."""
    if parent and (holder("run") or {}).get("run_id") == parent:
        raise FacemaskError(
            f"the GPU worker was started in {workspace}, the folder of the run that it is to train for: "
            "start it in another clone, or set handoff.enabled: false to train in this one"
        )


@contextmanager
def cancelled_with(parent: str | None, log: Log) -> Iterator[None]:
    """In the block, cancel this run once the run `parent` has ended.

    Prefect cancels the child of a cancelled run, but not that of a killed one.
    """
    if parent is None:
        yield
        return
    done = threading.Event()
    own = flow_run.id

    def watch() -> None:
        while not done.wait(_PARENT_POLL_S):
            with suppress(Exception), get_client(sync_client=True) as client:  # a server that is away is asked again
                state = client.read_flow_run(UUID(parent)).state
                if state is None or not state.is_final():
                    continue
                log(f"the run that this one trains for is {state.name}: this one ends too")
                client.set_flow_run_state(UUID(own), Cancelling(message=f"The run that it was for is {state.name}."))
                time.sleep(_CANCEL_S)
                os.kill(os.getpid(), signal.SIGTERM)  # nothing else has: the worker is gone

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        done.set()
