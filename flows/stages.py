"""DVC's stages as the flow sees them: which there are, in what order, and how one is run."""

import re
import signal
import subprocess
import sys
from collections import deque
from pathlib import Path

from flows.dvc_runner import Log, dvc_reason, program_env, repair, run_dvc
from models.stopping import STOPPED as TRAINING_STOPPED
from pipeline.errors import FacemaskError

_STAGE_ERROR = "facemask: error: "  # how every stage tells what a person can act on: pipeline/errors.py
_DVC_ERROR = "ERROR: "
_EXITED = re.compile(r"ERROR: failed to reproduce '.*': failed to run: .*, exited with (-?\d+)$")
# What DVC tells a person at a terminal, and what says no more than the line before it.
_HINT = re.compile(
    r"$|To track the changes with git, run:|\tgit add |To enable auto staging, run:|\tdvc config core\.autostage"
    r"|Use `dvc push` |Data and pipelines are up to date\.|(Updating|Generating) lock file |Running stage '"
    r"|WARNING: Process '.*, in RWLock-file "
)
_REMEMBERED_LINES = 50


class StageFailed(FacemaskError):
    """A stage ended with an error. `needs_a_person`: running it again as it is would end the same way."""

    def __init__(self, stage: str, reason: str, needs_a_person: bool) -> None:
        super().__init__(f"stage '{stage}' failed: {reason}")
        self.stage = stage
        self.needs_a_person = needs_a_person


def stage_names(workspace: Path) -> list[str]:
    """All stages of dvc.yaml in its order, `foreach` ones as NAME@ITEM; a test holds it against `dvc dag`."""
    if not (workspace / "dvc.yaml").is_file():
        raise FacemaskError(f"no dvc.yaml in {workspace}: run this in the project's folder")
    repair(workspace, print)
    listed = subprocess.run(
        [sys.executable, "-m", "dvc", "stage", "list", "--name-only"],
        cwd=workspace,
        env=program_env(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
    )
    if listed.returncode:
        reason = dvc_reason(listed.stderr.splitlines())
        raise FacemaskError(f"DVC cannot read {workspace / 'dvc.yaml'}: {reason} ('dvc stage list' tells more)")
    return listed.stdout.split()


def choose(names: list[str], wanted: list[str] | None) -> list[str]:
    """The stages among `names` that `wanted` asks for, in order; `measure` means every measure@SOURCE."""
    if wanted is None:
        return names
    for want in wanted:
        if not any(want in (name, name.partition("@")[0]) for name in names):
            raise FacemaskError(f"dvc.yaml has no stage '{want}': it has {', '.join(names)}")
    return [name for name in names if name in wanted or name.partition("@")[0] in wanted]


def run_stage(stage: str, workspace: Path, log: Log) -> bool:
    """Let DVC bring one stage up to date, each line of output to `log`. Returns whether its command was run.

    Raises StageFailed with the stage's own last error line. Whatever exception leaves this function,
    cancellation included, nothing of the stage runs on.
    """
    last_lines: deque[str] = deque(maxlen=_REMEMBERED_LINES)
    ran = False

    def hear(line: str) -> None:
        nonlocal ran
        ran = ran or line.startswith("Running stage '")
        if not _HINT.match(line):
            last_lines.append(line)
            log(line)

    status = run_dvc(["repro", "--single-item", stage], workspace, hear)
    if status:
        raise _failure(stage, list(last_lines), status)
    return ran


def _failure(stage: str, lines: list[str], status: int) -> StageFailed:
    told = [line.removeprefix(_STAGE_ERROR) for line in lines if line.startswith(_STAGE_ERROR)]
    if told:
        return StageFailed(stage, told[-1], needs_a_person=True)
    for number, line in reversed(list(enumerate(lines))):
        if exited := _EXITED.match(line):
            # No word of its own: killed, or a bug. The line above, a traceback's last, says most.
            end, said_by_shell = _ending(int(exited[1]))
            noise = ("> ", _DVC_ERROR, *said_by_shell)
            before = [text for text in lines[:number] if not text.startswith(noise)]
            return StageFailed(stage, f"{before[-1]} ({end})" if before else end, needs_a_person=False)
    # DVC itself refused: dvc.yaml is wrong, an input is missing, or another run holds the output.
    return StageFailed(stage, dvc_reason(lines) or f"exit status {status}", needs_a_person=bool(lines))


def _ending(code: int) -> tuple[str, list[str]]:
    """Words for the status that DVC prints of a command, and what the shell itself may have printed about it.

    DVC gives the command to the user's shell. One that becomes the command (bash) passes a signal on, as -9; one
    that waits for it (dash) prints the signal's name and itself ends with 128 + 9.
    """
    if code == TRAINING_STOPPED:
        return "told to stop, its state is saved", []
    killed_by = -code if code < 0 else code - 128
    if killed_by in signal.valid_signals():
        return f"killed by signal {killed_by}", list(filter(None, [signal.strsignal(killed_by)]))
    return f"exit status {code}", []
