"""`make demo`: the whole pipeline on the embedded sample, in a scratch workspace.

The workspace, demo/ in the repository's root, is a facemask project: a copy of the files that the pipeline needs, with
the demo's params.yaml, its own git and DVC repository and its own Prefect home. Nothing of the user's is changed.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from flows.plots import TEMPLATE, draw_offline
from flows.processes.dvc_runner import program_env
from flows.processes.guard import STOPPED, guarded, interrupt_on_sigterm
from models import registry
from pipeline.command import run
from pipeline.errors import FacemaskError

ROOT = Path(__file__).resolve().parent.parent
DEMO_PARAMS = Path("flows/demo_params.yaml")

# The files of a workspace, as git pathspecs: the code, DVC's and Prefect's files, and the few tracked ones of data/.
_NEEDED = (":(glob)*", ".dvc", "data", "experiments", "flows", "models", "pipeline")
_CODE = ("flows", "models", "pipeline")
_NOT_COPIED = ("dvc.lock", "params.yaml")  # each workspace has its own
_USERS = ("data/review.csv",)  # which the user changes in the workspace
# The user's own settings must not make the demo's commits ask for a key or run their hooks.
_GIT = (
    *("git", "-c", "commit.gpgsign=false", "-c", "core.hooksPath=/dev/null", "-c", "core.autocrlf=false"),
    *("-c", "user.name=facemask demo", "-c", "user.email=demo@localhost"),
)
# What a git hook sets, which would lead git, and DVC, to the repository that the hook runs in.
_GIT_VARIABLES = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR")


def main() -> None:
    """Bring the workspace up to date, run the flow there, and print where the results are."""
    started = time.monotonic()
    workspace = ROOT / "demo"
    print(f"facemask: the demo's workspace is {workspace}", flush=True)
    if changed := refresh(ROOT, workspace):
        print(f"facemask: {len(changed)} files brought up to date there", flush=True)
    make_repository(workspace)
    _run_flow(workspace)
    print(_results(workspace, time.monotonic() - started), flush=True)


def refresh(root: Path, workspace: Path) -> list[str]:
    """Bring the workspace's files up to date with `root`; only what differs is written. Returns those paths.

    Code that `root` no longer has is removed, so that the workspace runs what the project would.
    """
    wanted = {path: root / path for path in needed_files(root)} | {"params.yaml": root / DEMO_PARAMS}
    changed = []
    for path, source in sorted(wanted.items()):
        target = workspace / path
        is_theirs = path in _USERS and target.is_file()
        if not is_theirs and (not target.is_file() or target.read_bytes() != source.read_bytes()):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
            changed.append(path)
    registry.create(workspace / "registry")
    for folder in _CODE:
        for old in sorted((workspace / folder).rglob("*.py")):
            path = old.relative_to(workspace).as_posix()
            if path not in wanted:
                old.unlink()
                changed.append(path)
    return changed


def needed_files(root: Path) -> list[str]:
    """The workspace's files in `root`, relative: those that git tracks or would track, also where `root` has no git."""
    listed = _run([*_GIT, "rev-parse", "--show-toplevel"], root, check=False)
    is_checkout = listed.returncode == 0 and Path(listed.stdout.rstrip("\n")).resolve() == root.resolve()
    with tempfile.TemporaryDirectory() as empty:
        where: tuple[str, ...] = ()
        if not is_checkout:  # a downloaded zip, perhaps inside another project's checkout: use an empty repository
            _run([*_GIT, "init", "--quiet", "--bare", empty], root)
            where = (f"--git-dir={empty}", f"--work-tree={root}")
        listed = _run([*_GIT, *where, "ls-files", "-z", "-co", "--exclude-standard", "--", *_NEEDED], root)
    paths = dict.fromkeys(filter(None, listed.stdout.split("\0")))
    return [path for path in paths if path not in _NOT_COPIED and (root / path).is_file()]


def make_repository(workspace: Path) -> None:
    """Give the workspace its own git and DVC repository, and commit what is new (DVCLive needs a commit)."""
    dvc = [sys.executable, "-m", "dvc"]
    if not (workspace / ".git").exists():
        _run([*_GIT, "init", "--quiet"], workspace)
    if not (workspace / ".dvc" / "config").is_file():
        _run([*dvc, "init", "--quiet"], workspace)
        _run([*dvc, "config", "core.analytics", "false"], workspace)
        _run([*dvc, "config", "core.check_update", "false"], workspace)
    if not (workspace / ".dvc" / TEMPLATE).is_file():
        draw_offline(workspace)
    _run([*_GIT, "add", "--all"], workspace)
    if _run([*_GIT, "diff", "--cached", "--quiet"], workspace, check=False).returncode:
        _run([*_GIT, "commit", "--quiet", "--message", "The demo's workspace"], workspace)


def _run_flow(workspace: Path) -> None:
    # None of the user's Prefect settings: no profile, and no server of theirs that would record the run.
    clean = {name: value for name, value in _env().items() if not name.startswith("PREFECT_")}
    env = {**clean, "PREFECT_HOME": str(workspace / "work" / "prefect")}
    status = STOPPED
    interrupt_on_sigterm()
    try:
        with guarded([sys.executable, "-m", "flows.local_server.run"], workspace, env) as flow:
            status = flow.wait()
    except KeyboardInterrupt:
        pass
    if status:
        print("facemask: 'make demo' goes on from here", file=sys.stderr)
        sys.exit(status)


def _results(workspace: Path, seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    programs = os.path.relpath(Path(sys.executable).parent, workspace)
    manifest = workspace / "data" / "manifest.parquet"
    count = f"import pandas; m = pandas.read_parquet('{manifest}'); print(m.explode('reasons').reasons.value_counts())"
    return f"""
facemask: the demo is done, in {minutes} min {rest} s

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


def _env() -> dict[str, str]:
    return {name: value for name, value in program_env().items() if name not in _GIT_VARIABLES}


def _run(command: list[str], folder: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a program without output. Raises FacemaskError if it fails and `check` is set."""
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=_env(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
        )
    except FileNotFoundError as error:
        raise FacemaskError(f"{command[0]} is not installed: install it (as 'apt-get install -y git')") from error
    if check and done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-1]
        shown = " ".join(word for word in command if "=" not in word and word != "-c")
        raise FacemaskError(f"'{shown}' failed in {folder}: {last}")
    return done


if __name__ == "__main__":
    run(main)
