"""DVC as the flows use it: its command line under a guard, its list of stages, and repair after a kill."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from flows.processes.guard import guarded
from pipeline import messages
from pipeline.errors import FacemaskError, one_line
from pipeline.storage.files import locked, replacing

Log = Callable[[str], None]
OnMessage = Callable[[messages.Message], None]

DVC_LOCK = Path("dvc.lock")
_TMP = Path(".dvc/tmp")
_LAST_WHOLE = _TMP / "facemask-dvc.lock"  # the last dvc.lock that was whole
_ERROR = "ERROR: "  # before DVC's own errors


def ignore(_line: str) -> None:
    """A log that drops its lines."""


@dataclass(frozen=True)
class StageFiles:
    """The paths that a stage reads and writes, as dvc.yaml has them; metrics and plots count as outputs."""

    deps: list[str]
    outs: list[str]


@dataclass(frozen=True)
class Ended:
    """How a program ended: its exit status, all lines of its output, and its last structured message."""

    status: int
    lines: list[str]
    last: messages.Message | None

    @property
    def reason(self) -> str:
        """Why it failed, in one line: its own error, DVC's last error, the last line, or its exit status."""
        if self.last and self.last.kind == "error":
            return self.last.text
        starts = [number for number, line in enumerate(self.lines) if line.startswith(_ERROR)]
        if not starts:
            return next(filter(None, reversed(self.lines)), f"exit status {self.status}")
        first, *rest = self.lines[starts[-1] :]
        reason = first.removeprefix(_ERROR)
        if reason.endswith(":"):  # what blocks it is listed below, up to an empty line
            listed = rest[: rest.index("")] if "" in rest else rest
            reason = " ".join([reason, *map(str.strip, listed)])
        return reason


def read_stages(workspace: Path) -> dict[str, StageFiles]:
    """All stages of dvc.yaml by name, in its order, `foreach` ones as NAME@ITEM, with ${...} filled in.

    Raises FacemaskError where there is no dvc.yaml, or DVC cannot read it or dvc.lock.
    """
    from dvc.exceptions import DvcException  # half a second
    from dvc.repo import Repo
    from dvc.stage import PipelineStage

    if not (workspace / "dvc.yaml").is_file():
        raise FacemaskError(f"no dvc.yaml in {workspace}: run this in the project's folder")
    repair(workspace, print)
    try:
        with Repo(str(workspace)) as repo:
            return {
                stage.name: StageFiles([dep.def_path for dep in stage.deps], [out.def_path for out in stage.outs])
                for stage in repo.index.stages
                if isinstance(stage, PipelineStage)  # not a .dvc file, as each registered model has
            }
    except DvcException as error:
        reason = one_line(error)
        if DVC_LOCK.name in reason:
            raise _unreadable_lock(workspace / DVC_LOCK, f"no lock file of DVC ({reason})") from error
        raise FacemaskError(f"DVC cannot read {workspace / 'dvc.yaml'}: {reason}: see 'dvc stage list'") from error


def program_env(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment for programs of this installation: its own folder first on PATH, output unbuffered."""
    # sys.executable is not resolved: a venv's python is a link, and its folder holds the venv's programs.
    programs = str(Path(sys.executable).parent)
    return {
        **environ,
        "PATH": f"{programs}{os.pathsep}{environ.get('PATH', os.defpath)}",
        "PYTHONUNBUFFERED": "1",
        "DVC_NO_ANALYTICS": "1",
    }


def run_dvc(arguments: Sequence[str], workspace: Path, log: Log = ignore, on_message: OnMessage | None = None) -> Ended:
    """Run `dvc ARGUMENTS...` as `run_program` does. A stop ends the stage's command, and DVC records what is done.

    Raises FacemaskError where dvc.lock is damaged and cannot be restored.
    """
    repair(workspace, log)
    # --wait-for-lock: another DVC command may hold the lock for a moment. Never -q: it hides why DVC failed.
    command = [sys.executable, "-m", "flows.processes.dvc_process", "--wait-for-lock", *arguments]
    return run_program(command, workspace, log, on_message, root_last=True)


def run_program(
    command: Sequence[str],
    workspace: Path,
    log: Log = ignore,
    on_message: OnMessage | None = None,
    root_last: bool = False,
) -> Ended:
    """Run a program of this installation, each line of its output that is not empty to `log`.

    Structured lines (pipeline/messages.py) go to `on_message`, and their text to `log`.
    Whatever exception leaves this function, nothing that was started here runs on.
    """
    env = program_env() | {messages.VARIABLE: "json"}
    lines: list[str] = []
    last = None
    with guarded(command, workspace, env, subprocess.PIPE, root_last) as process:
        assert process.stdout is not None
        for line in map(str.rstrip, process.stdout):
            if message := messages.parse(line):
                last, line = message, message.text
                if on_message:
                    on_message(message)
            lines.append(line)
            if line:
                log(line)
        return Ended(process.wait(), lines, last)


def repair(workspace: Path, log: Log) -> None:
    """Mend what a killed DVC left half-written: restore dvc.lock from its last whole copy, remove a broken rwlock.

    Both are read again under the lock that DVC holds while it writes them. A dvc.lock that is whole is copied, for the
    next time. Raises FacemaskError where it is damaged and there is no copy.
    """
    tmp, lock, copy = workspace / _TMP, workspace / DVC_LOCK, workspace / _LAST_WHOLE
    if not tmp.is_dir():
        return
    if not _is_whole_lock(lock):
        with locked(tmp / "lock"):
            if not _is_whole_lock(lock):
                if not copy.is_file():
                    raise _unreadable_lock(lock, "damaged, as by a kill while DVC wrote it")
                _copy(copy, lock)
                log(f"{lock} was damaged, as by a kill while DVC wrote it: restored from the last whole one")
    elif lock.is_file() and not (copy.is_file() and copy.read_bytes() == lock.read_bytes()):
        _copy(lock, copy)
    rwlock = tmp / "rwlock"
    if not _is_rwlock(rwlock):
        with locked(tmp / "rwlock.lock"):
            if not _is_rwlock(rwlock):
                rwlock.unlink()
                log(f"{rwlock} was damaged, as by a kill while DVC wrote it: removed, DVC makes it again")


def _copy(source: Path, target: Path) -> None:
    with replacing(target) as beside:
        shutil.copyfile(source, beside)


def _is_whole_lock(path: Path) -> bool:
    """Whether a dvc.lock is missing, or written to its end: a cut one does not parse, or ends without a newline."""
    try:
        text = path.read_text(encoding="utf-8")
        data = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        entries = data.get("stages", {}).values()
        return text.endswith("\n") and "schema" in data and all(isinstance(entry, dict) for entry in entries)
    except FileNotFoundError:
        return True
    except (ValueError, yaml.YAMLError, AttributeError):  # AttributeError: it has no tables where DVC has them
        return False


def _is_rwlock(path: Path) -> bool:
    """Whether DVC's table of who reads and writes which path is missing, or of DVC's form."""
    if not path.is_file():
        return True
    from dvc.rwlock import SCHEMA, Invalid  # half a second

    try:
        SCHEMA(json.loads(path.read_bytes()))
    except (ValueError, Invalid):
        return False
    return True


def _unreadable_lock(lock: Path, why: str) -> FacemaskError:
    return FacemaskError(
        f"{lock} is {why}: restore it by 'git restore {lock.name}', "
        "or delete it and run again (DVC then takes finished stages from its cache)"
    )
