"""`facemask run`: the flow in the current folder, here and now, without a running server."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.local_server.server import client_env, is_healthy, server_env, temporary_server
from flows.processes.guard import STOPPED, guarded
from flows.processes.workspace_lock import holder, refusal
from pipeline.command import run
from pipeline.errors import FacemaskError

_CONSOLE = {"PREFECT_LOGGING_HANDLERS_CONSOLE_CLASS": "flows.console.StageLines"}


def run_here(stages: list[str] | None = None) -> None:
    """Run the flow to its end and show the stages' lines; a status other than 0 ends this process.

    Where PREFECT_API_URL is set, that server records the run; else this folder's `facemask up`, if there is one; else a
    server that runs as long as the flow.
    """
    if not Path("dvc.yaml").is_file():
        raise FacemaskError(f"no dvc.yaml in {Path.cwd()}: run this in the project's folder")
    if running := holder("run"):  # the flow checks it too; here the refusal needs no server
        raise FacemaskError(refusal("run", running))
    command = [sys.executable, "-m", "flows.curate_and_train", *(stages or [])]
    try:
        # In its own process, which has sent all its logs to the server when it ends; the server ends after it.
        with _server() as env, guarded(command, Path.cwd(), env | _CONSOLE) as flow:
            status = flow.wait()
    except KeyboardInterrupt:
        status = STOPPED
    if status == STOPPED:
        print("facemask: stopped; the same command goes on from here", file=sys.stderr)
    if status:
        sys.exit(status)


@contextmanager
def _server() -> Iterator[dict[str, str]]:
    if os.environ.get("PREFECT_API_URL"):
        yield client_env()  # with heartbeats as often as that server's automation expects them
    elif (up := holder("up")) and "port" in up and is_healthy(up["url"]):
        yield server_env(up["port"])
    else:
        print("facemask: starting Prefect (10 s the first time)", flush=True)
        with temporary_server() as env:
            yield env


if __name__ == "__main__":
    run(lambda: run_here(sys.argv[1:] or None))
