"""Commands that run the pipeline: up, status, down, run."""

import argparse
from pathlib import Path

from flows.cli.command import Commands, add_port


def add_commands(commands: Commands) -> None:
    """Add these commands."""
    summary = "Start Prefect on 127.0.0.1 and serve this folder's deployments, until Ctrl-C."
    add_port(commands.add("up", _up, summary, "facemask up"), 4200)  # pyproject.toml names it too
    summary = (
        "Show what runs in this folder, the last runs, the schedule, and what to do next. Exit status 1: nothing is up."
    )
    commands.add("status", _status, summary, "facemask status")
    commands.add("down", _down, "Stop this folder's 'facemask up' and all of its runs.", "facemask down")
    summary = "Run the flow curate-and-train in this folder now, without a server."
    run = commands.add("run", _run, summary, "facemask run curate pack")
    run.add_argument(
        "stages", nargs="*", metavar="STAGE", help="only these stages of dvc.yaml, such as train or measure@ffhq"
    )


def _up(options: argparse.Namespace) -> None:
    from flows.local_server.up import up

    up(options.port)


def _status(_options: argparse.Namespace) -> None:
    from flows.local_server.status import status

    status()


def _down(_options: argparse.Namespace) -> None:
    from flows.local_server.down import down

    down()


def _run(options: argparse.Namespace) -> None:
    from flows.local_server.run import run_here
    from flows.processes.workspace_lock import holder
    from flows.stages import choose, stage_names

    # A misspelt stage is refused before a server starts, so that no failed run is recorded.
    if options.stages and Path("dvc.yaml").is_file() and not holder("run"):
        choose(stage_names(Path.cwd()), options.stages)
    run_here(options.stages or None)
