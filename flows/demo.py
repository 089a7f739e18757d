"""`make demo`: the whole pipeline on the embedded sample, in a scratch workspace.

The workspace, demo/ in the repository's root, is a facemask project: a copy of the files that the pipeline needs, with
the demo's params.yaml, its own git and DVC repository and its own Prefect home. Nothing of the user's is changed.
"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from flows.local_server.run import run_here
from flows.processes.elapsed import clock
from models import registry
from pipeline.command import run
from pipeline.errors import FacemaskError
from pipeline.paths import Paths

ROOT = Path(__file__).resolve().parent.parent

# What a workspace has of the project. Copied anew each time, so that it runs what the project would:
_FOLDERS = ("experiments", "flows", "models", "pipeline")
_FILES = (".dvc/.gitignore", ".dvc/config", ".dvcignore", ".gitignore", "dvc.yaml", "prefect.yaml", "pyproject.toml")
# The user's own settings must not make the demo's commits ask for a key or run their hooks.
_GIT = (
    *("git", "-c", "commit.gpgsign=false", "-c", "core.hooksPath=/dev/null", "-c", "core.autocrlf=false"),
    *("-c", "user.name=facemask demo", "-c", "user.email=demo@localhost"),
)


def main() -> None:
    """Bring the workspace up to date, run the flow there, and print where the results are."""
    started = time.monotonic()
    workspace = ROOT / "demo"
    print(f"facemask: the demo's workspace is {workspace}", flush=True)
    for name in [*os.environ]:  # not the user's Prefect profile, nor a server of theirs that would record the run
        if name.startswith(("PREFECT_", "GIT_")):
            del os.environ[name]
    refresh(ROOT, workspace)
    make_repository(workspace)
    os.chdir(workspace)
    run_here()
    print(_results(workspace, time.monotonic() - started), flush=True)


def refresh(root: Path, workspace: Path) -> None:
    """Bring the workspace's files up to date with those of `root`; what was made or reviewed there stays."""
    for folder in _FOLDERS:
        shutil.rmtree(workspace / folder, ignore_errors=True)
        shutil.copytree(root / folder, workspace / folder, ignore=shutil.ignore_patterns("__pycache__"))
    copies = {workspace / file: root / file for file in _FILES}
    copies[workspace / "params.yaml"] = root / "flows" / "demo_params.yaml"
    for theirs, initial in zip(_of_people(workspace), _of_people(root), strict=True):
        if not theirs.is_file():
            copies[theirs] = initial
    for target, source in copies.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)
    registry.create(Paths(workspace).registry)


def _of_people(workspace: Path) -> tuple[Path, Path]:
    """The files that people's choices change, and no stage."""
    return Paths(workspace).review, Paths(workspace).survey_result


def make_repository(workspace: Path) -> None:
    """Give the workspace its own git repository, and commit what is new (DVCLive needs a commit)."""
    if not (workspace / ".git").exists():
        _git("init", "--quiet", workspace=workspace)
    _git("add", "--all", workspace=workspace)
    if _git("status", "--porcelain", workspace=workspace):
        _git("commit", "--quiet", "--message", "The demo's workspace", workspace=workspace)


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


def _git(*arguments: str, workspace: Path) -> str:
    """The output of a git command. Raises FacemaskError if it fails."""
    # Without what a git hook sets, which would lead git to the repository that the hook runs in.
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run([*_GIT, *arguments], cwd=workspace, env=env, capture_output=True, encoding="utf-8")
    except FileNotFoundError as error:
        raise FacemaskError("git is not installed: install it (as 'apt-get install -y git')") from error
    if done.returncode:
        last = (done.stderr.strip() or "no output").splitlines()[-1]
        raise FacemaskError(f"'git {' '.join(arguments)}' failed in {workspace}: {last}")
    return done.stdout


if __name__ == "__main__":
    run(main)
