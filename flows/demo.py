"""`make demo`: the whole pipeline on the embedded sample, in a scratch workspace.

The workspace, demo/ in the repository's root, is a facemask project of its own: a copy of the files the pipeline needs,
with the demo's params.yaml, its own git and DVC repository and its own Prefect home. Nothing of the user's is touched.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from flows.plots import TEMPLATE, draw_offline
from flows.processes.dvc_runner import program_env
from flows.processes.guard import STOPPED, guarded, interrupt_on_sigterm
from pipeline.errors import FacemaskError, run

ROOT = Path(__file__).resolve().parent.parent
DEMO_PARAMS = Path("flows/demo_params.yaml")
PARAMS = Path("params.yaml")

# What a workspace is made of, as git pathspecs: the code, DVC's and Prefect's files, and data/'s few tracked ones.
_NEEDED = (":(glob)*", ".dvc", "data", "experiments", "flows", "models", "pipeline")
_CODE = ("flows", "models", "pipeline")
# Each workspace has its own, which say what was built there.
_NOT_COPIED = {"dvc.lock", PARAMS.as_posix()}
_IDENTITY = ("-c", "user.name=facemask demo", "-c", "user.email=demo@localhost")
# The user's own settings must not make the demo's commits ask for a key or run their hooks.
_PLAIN = ("-c", "commit.gpgsign=false", "-c", "core.hooksPath=/dev/null", "-c", "core.autocrlf=false")


def main() -> None:
    started = time.monotonic()
    workspace = ROOT / "demo"
    print(f"facemask: the demo's workspace is {workspace}", flush=True)
    changed = refresh(ROOT, workspace)
    if changed:
        print(f"facemask: {len(changed)} files brought up to date there", flush=True)
    make_repository(workspace)
    _run_flow(workspace)
    _tell_what_is_there(workspace, time.monotonic() - started)


def refresh(root: Path, workspace: Path) -> list[str]:
    """Bring the workspace's files up to date with `root`; only what differs is written. Returns those paths.

    Code that `root` no longer has is removed, so that the workspace runs what the project would.
    """
    wanted = {path: root / path for path in needed_files(root)}
    wanted[PARAMS.as_posix()] = root / DEMO_PARAMS
    changed = [path for path, source in sorted(wanted.items()) if _copy_if_changed(source, workspace / path)]
    for folder in _CODE:
        for old in sorted((workspace / folder).rglob("*.py")):
            path = old.relative_to(workspace).as_posix()
            if path not in wanted:
                old.unlink()
                changed.append(path)
    return changed


def needed_files(root: Path) -> list[str]:
    """The workspace's files in `root`, relative: those that git tracks or would track, also where `root` has no git."""
    listed = _git(root, "rev-parse", "--show-toplevel", check=False)
    own = listed.returncode == 0 and Path(listed.stdout.rstrip("\n")).resolve() == root.resolve()
    with tempfile.TemporaryDirectory() as empty:
        where: tuple[str, ...] = ()
        if not own:  # a downloaded zip, perhaps inside another project's checkout: ask an empty repository
            _git(root, "init", "--quiet", "--bare", empty)
            where = (f"--git-dir={empty}", f"--work-tree={root}")
        listed = _git(root, *where, "ls-files", "-z", "-co", "--exclude-standard", "--", *_NEEDED)
    paths = dict.fromkeys(filter(None, listed.stdout.split("\0")))
    return [path for path in paths if path not in _NOT_COPIED and (root / path).is_file()]


def make_repository(workspace: Path) -> None:
    """Give the workspace its own git and DVC repository, and commit what is new (DVCLive needs a commit)."""
    if not (workspace / ".git").exists():
        _git(workspace, "init", "--quiet")
    if not (workspace / ".dvc" / "config").is_file():
        _dvc(workspace, "init", "--quiet")
        _dvc(workspace, "config", "core.analytics", "false")
        _dvc(workspace, "config", "core.check_update", "false")
    if not (workspace / ".dvc" / TEMPLATE).is_file():
        draw_offline(workspace)
    _git(workspace, "add", "--all")
    if _git(workspace, "diff", "--cached", "--quiet", check=False).returncode:
        _git(workspace, *_IDENTITY, "commit", "--quiet", "--message", "The demo's workspace")


def _run_flow(workspace: Path) -> None:
    # None of the user's Prefect settings: no profile, and no server of theirs that would record the run.
    clean = {name: value for name, value in _without_git(os.environ).items() if not name.startswith("PREFECT_")}
    env = program_env({**clean, "PREFECT_HOME": str(workspace / "work" / "prefect")})
    status = STOPPED
    interrupt_on_sigterm()
    try:
        with guarded([sys.executable, "-m", "flows.local_server.run"], cwd=workspace, env=env) as flow:
            status = flow.wait()
    except KeyboardInterrupt:
        pass
    if status:
        print("facemask: 'make demo' goes on from here", file=sys.stderr)
        sys.exit(status)


def _tell_what_is_there(workspace: Path, seconds: float) -> None:
    minutes, rest = divmod(round(seconds), 60)
    programs = os.path.relpath(Path(sys.executable).parent, workspace)
    manifest = workspace / "data" / "manifest.parquet"
    count = f"import pandas; m = pandas.read_parquet('{manifest}'); print(m.explode('reasons').reasons.value_counts())"
    print(
        f"""
facemask: the demo is done, in {minutes} min {rest} s

  report page   {workspace / "reports" / "index.html"}
  manifest      {manifest}
  checkpoint    {workspace / "checkpoints"}{os.sep}

What to try next:
  {sys.executable} -c "{count}"
  cd {workspace} && {programs}/facemask review  the page with pictures at full size; keep or drop them
  cd {workspace} && {programs}/facemask apply checkpoints PHOTO --out masked
  cd {workspace} && {programs}/facemask up      then open the address that it prints
  cd {workspace} && {programs}/dvc metrics show
""",
        flush=True,
    )


def _copy_if_changed(source: Path, target: Path) -> bool:
    """Copy, executable bit included, unless the bytes are the same: an untouched file keeps its time."""
    if target.is_file() and target.read_bytes() == source.read_bytes():
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)
    return True


def _without_git(environ: Mapping[str, str]) -> dict[str, str]:
    """Without what a git hook sets, which would lead git, and DVC, to the repository that the hook runs in."""
    local = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR")
    return {name: value for name, value in environ.items() if name not in local}


def _git(folder: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return _quietly(["git", *_PLAIN, *arguments], folder, check)


def _dvc(folder: Path, *arguments: str) -> None:
    _quietly([sys.executable, "-m", "dvc", *arguments], folder, check=True)


def _quietly(command: list[str], folder: Path, check: bool) -> subprocess.CompletedProcess[str]:
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=program_env(_without_git(os.environ)),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
        )
    except FileNotFoundError as error:
        raise FacemaskError(f"{command[0]} is not installed: install it (as 'apt-get install -y git')") from error
    if check and done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-1]
        shown = " ".join(command[:1] + [word for word in command[1:] if "=" not in word and word != "-c"])
        raise FacemaskError(f"'{shown}' failed in {folder}: {last}")
    return done


if __name__ == "__main__":
    run(main)
