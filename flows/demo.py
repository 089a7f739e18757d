"""`make demo`: the whole pipeline on the embedded sample, in a scratch workspace.

The workspace, demo/ in the repository's root, is a facemask project: a copy of the files that the pipeline needs, with
the demo's params.yaml, its own git and DVC repository and its own Prefect home. Nothing of the user's is changed.
"""

import os
import shutil
import sys
import time
from pathlib import Path

from flows.local_server.run import run_here
from flows.processes.elapsed import clock
from flows.project import CODE, MADE_BY_PEOPLE, PACKAGES, git, project_files, write_files
from models import registry
from pipeline.command import run
from pipeline.paths import Paths

_AUTHOR = ("-c", "user.name=facemask demo", "-c", "user.email=demo@localhost")


def main() -> None:
    """Bring the workspace up to date, run the flow there, and print where the results are."""
    started = time.monotonic()
    workspace = CODE / "demo"
    print(f"facemask: the demo's workspace is {workspace}", flush=True)
    for name in [*os.environ]:  # not the user's Prefect profile, nor a server of theirs that would record the run
        if name.startswith(("PREFECT_", "GIT_")):
            del os.environ[name]
    refresh(CODE, workspace)
    make_repository(workspace)
    os.chdir(workspace)
    run_here()
    print(_results(workspace, time.monotonic() - started), flush=True)


def refresh(root: Path, workspace: Path) -> None:
    """Bring the workspace's files up to date with those of `root`; what was made or reviewed there stays."""
    contents = project_files(root, root)
    contents["params.yaml"] = (root / "flows/demo_params.yaml").read_bytes()
    for name in MADE_BY_PEOPLE:
        if (workspace / name).is_file():
            del contents[name]
    for folder in ("experiments", *PACKAGES):  # copied anew each time, so that it runs what the project would
        shutil.rmtree(workspace / folder, ignore_errors=True)
    write_files(workspace, contents)
    registry.create(Paths(workspace).registry)


def _of_people(workspace: Path) -> tuple[Path, Path]:
    """The files that people's choices change, and no stage."""
    return Paths(workspace).review, Paths(workspace).survey_result


def make_repository(workspace: Path) -> None:
    """Give the workspace its own git repository, and commit what is new (DVCLive needs a commit)."""
    if not (workspace / ".git").exists():
        git(workspace, "init", "--quiet")
    git(workspace, "add", "--all")
    if git(workspace, "status", "--porcelain"):
        git(workspace, *_AUTHOR, "commit", "--quiet", "--message", "The demo's workspace")


def _results(workspace: Path, seconds: float) -> str:
    programs = os.path.relpath(Path(sys.executable).parent, workspace)
    manifest = Paths(workspace).manifest
    count = f"import pandas; m = pandas.read_parquet('{manifest}'); print(m.explode('reasons').reasons.value_counts())"
    return f"""
facemask: the demo is done, in {clock(seconds)} minutes

  report page   {workspace / "reports" / "index.html"}
  manifest      {manifest}
  checkpoint    {workspace / "checkpoints"}{os.sep}

What to try next:
  {sys.executable} -c "{count}"
  cd {workspace} && {programs}/facemask review  the page with pictures at full size; keep or drop them
  cd {workspace} && {programs}/facemask apply promoted PHOTO --out masked
  cd {workspace} && {programs}/facemask up      then open the address that it prints
  cd {workspace} && {programs}/dvc metrics show
"""


if __name__ == "__main__":
    run(main)
