"""The flow `curate-and-train`: every stage of dvc.yaml in order, each as its own task run.

DVC decides whether a stage runs, Prefect when and where. The workspace is the current folder, one run at a time.
`python -m flows.curate_and_train [STAGE ...]` runs it in this process, and `facemask run` that, with a server.
"""

import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect import Task, flow, get_client, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.exceptions import TerminationSignal
from prefect.runtime import flow_run, task_run
from prefect.states import Completed

from flows.artifacts import show_models, show_rejections, show_samples, show_training
from flows.handoff.curating_side import hand_over
from flows.params_check import check_params
from flows.processes.elapsed import clock
from flows.processes.guard import STOPPED
from flows.processes.workspace_lock import Lock, held
from flows.progress import show_progress
from flows.promotion import register_trained
from flows.stages import StageFailed, choose, run_stage, stage_names
from pipeline.command import run
from pipeline.errors import FacemaskError
from pipeline.paths import Paths
from pipeline.sources.config import load_sources
from pipeline.sources.inbox import unused_inboxes
from pipeline.storage.manifest import read_manifest

NAME = "curate-and-train"

# Seconds to wait before each further try. Every stage may be run again at any moment: half-done work stays in work/,
# where the same command finds it and goes on, and an output is moved into place whole. These are the ones that gain by
# it, being long and dependent on a network, other processes or a GPU; the others are quick and functions of files.
RETRY_DELAYS_S: dict[str, list[float]] = {"fetch": [10, 60], "measure": [10, 60], "train": [10]}

SHOWN_AFTER = {"curate": show_rejections, "train": show_training, "evaluate": show_samples}


def run_name() -> str:
    """The name of this flow run: which stages it brings up to date, and since when; see _name_by_images."""
    stages = (flow_run.parameters or {}).get("stages")
    return f"{' '.join(stages) if stages else 'all stages'}, {datetime.now():%H:%M}"


@flow(name=NAME, flow_run_name=run_name)
def curate_and_train(stages: list[str] | None = None) -> State[None] | None:
    """From raw images to an evaluated model: fetch, measure, curate, pack, start, train, evaluate, report.

    A model that is new is registered before `report`, and promoted if it is not worse (flows/promotion.py).

    Args:
        stages: only these stages of dvc.yaml, as `train` or `measure@ffhq`; all of them by default.
    """
    workspace = Path.cwd()
    log = get_run_logger().info
    # Locked by the run itself, however it was started: by hand, by the worker, on a schedule. DVC's files are repaired
    # under the lock.
    with held("run") as lock:
        outcome, refused = None, None
        check_params(workspace)
        before = image_ids(Paths(workspace))
        chosen = choose(stage_names(workspace), stages)
        if any(stage.startswith("fetch@") for stage in chosen):
            for line in unused_inboxes(load_sources(), Paths()):
                get_run_logger().warning("%s", line)
        for number, stage in enumerate(chosen, start=1):
            log(f"stage {number} of {len(chosen)}: {stage}")
            lock.update(run_id=flow_run.id, stage=stage, number=number, of=len(chosen), progress="")
            if stage == "train":
                hand_over(chosen, workspace, log)  # if a worker does it, DVC finds it up to date here
            # Called directly, not by .submit(): cancellation reaches the main thread only and must end the stage.
            stage_task(stage)(stage, lock)
            if stage == "curate":
                _name_by_images(image_ids(Paths(workspace)) - before)
            if show := SHOWN_AFTER.get(stage):
                show(workspace)
            if stage == "evaluate":  # before `report`: the page says which model is promoted
                try:
                    outcome = register_trained(log)
                except FacemaskError as error:  # the page of the new data is made all the same
                    refused = error
                show_models(workspace)
        if refused:
            raise refused
    return Completed(message=outcome) if outcome else None


def image_ids(paths: Paths) -> set[str]:
    """The images of the manifest; none where there is no manifest, or one of an earlier version."""
    try:
        return set(read_manifest(paths.manifest, ["image_id"]).column("image_id").to_pylist())
    except FacemaskError:
        return set()


def _name_by_images(new: set[str]) -> None:
    """Name the flow run after its new images, as `5 new images, 22:11`; it keeps its name where there are none."""
    if not new:
        return
    count = "1 new image" if len(new) == 1 else f"{len(new):,} new images"
    with get_client(sync_client=True) as client:
        client.update_flow_run(UUID(str(flow_run.id)), name=f"{count}, {datetime.now():%H:%M}")


def stage_task(stage: str) -> Task[[str, Lock], None]:
    """The task that runs `stage`, named by its kind, with the retries that are right for it."""
    kind = stage.partition("@")[0]
    delays = RETRY_DELAYS_S.get(kind, [])
    return bring_up_to_date.with_options(
        name=kind,
        retries=len(delays),
        retry_delay_seconds=delays,
        retry_condition_fn=is_retryable,
    )


# NO_CACHE: DVC is the only cache.
@task(task_run_name="{stage}", cache_policy=NO_CACHE)
def bring_up_to_date(stage: str, lock: Lock) -> None:
    """Run one stage through DVC. Raises StageFailed."""
    log = get_run_logger().info
    if (attempt := task_run.run_count or 1) > 1:
        log(f"{stage}: attempt {attempt}")
    run_stage(stage, Path.cwd(), log, show_progress(stage, lock, log))


def is_retryable(_task: Task[..., Any], _task_run: TaskRun, state: State[Any]) -> bool:
    """Whether to try again: after a crash or a kill, but not after an error that a user has to act on."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, StageFailed) and error.retryable


def main() -> None:
    """Run the flow for the stages that the command line names."""
    started = time.monotonic()
    try:
        curate_and_train(stages=sys.argv[1:] or None)
    except (KeyboardInterrupt, TerminationSignal):
        sys.exit(STOPPED)
    print(f"facemask: done in {clock(time.monotonic() - started)}", flush=True)


if __name__ == "__main__":
    run(main)
