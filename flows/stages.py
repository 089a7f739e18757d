"""DVC's stages as the flow runs them: which there are, in what order, and why one failed."""

import re
import signal
from pathlib import Path

from flows.processes.dvc_runner import Ended, Log, OnMessage, read_stages, run_dvc
from models import registry
from pipeline.errors import FacemaskError, choose_from
from pipeline.paths import Paths
from pipeline.sources.inbox import create_inbox

# DVC has no other interface for these than its English: how a stage's command ended, and advice for a person at a
# terminal.
_EXITED = re.compile(r"ERROR: failed to reproduce '.*': failed to run: .*, exited with (-?\d+)$")
_ADVICE = re.compile(
    r"$|To track the changes with git, run:|\tgit add |To enable auto staging, run:|\tdvc config core\.autostage"
    r"|Use `dvc push` |Data and pipelines are up to date\.|(Updating|Generating) lock file |Running stage '"
    r"|WARNING: Process '.*, in RWLock-file "
)


class StageFailed(FacemaskError):
    """A stage ended with an error. `retryable`: running the same again may end otherwise."""

    def __init__(self, stage: str, reason: str, retryable: bool) -> None:
        super().__init__(f"stage '{stage}' failed: {reason}")
        self.stage = stage
        self.retryable = retryable


def stage_names(workspace: Path) -> list[str]:
    """All stages of dvc.yaml in its order, `foreach` ones as NAME@ITEM. Raises FacemaskError if DVC cannot read it."""
    return list(read_stages(workspace))


def choose(names: list[str], wanted: list[str] | None) -> list[str]:
    """The stages among `names` that `wanted` names, in order; `measure` means every measure@SOURCE."""
    if wanted is None:
        return names
    for want in wanted:
        if not any(want in (name, name.partition("@")[0]) for name in names):
            kinds = [name.partition("@")[0] for name in names]
            raise FacemaskError(f"dvc.yaml has no stage '{want}': {choose_from(want, dict.fromkeys([*kinds, *names]))}")
    return [name for name in names if name in wanted or name.partition("@")[0] in wanted]


def run_stage(stage: str, workspace: Path, log: Log, on_message: OnMessage | None = None) -> None:
    """Let DVC bring one stage up to date, each line of output to `log`.

    `on_message` gets the stage's structured lines, such as progress. Raises StageFailed with the stage's own error.
    Whatever exception leaves this function, cancellation included, nothing of the stage runs on.
    """

    def log_line(line: str) -> None:
        if not _ADVICE.match(line):
            log(line)

    kind, _, source = stage.partition("@")
    force = False
    if kind == "fetch":
        from flows.inbox import forget, show_to_dvc  # more than a second

        create_inbox(source, Paths(workspace))
        force = show_to_dvc(source, workspace, log)
    elif kind == "report":
        registry.create(Paths(workspace).registry)
    options = ["--single-item", *(["--force"] if force else [])]
    ended = run_dvc(["repro", *options, stage], workspace, log_line, on_message)
    if ended.status:
        if force:
            forget(source, workspace)
        raise _failure(stage, ended)
    if kind == "fetch" and (fetched := Paths(workspace).raw / source).is_dir():
        from pipeline.sources.shard_store import share_shards

        share_shards(Paths(workspace).work("fetch", source), fetched)


def _failure(stage: str, ended: Ended) -> StageFailed:
    if ended.last and ended.last.kind != "progress":
        return StageFailed(stage, ended.last.text, retryable=ended.last.kind == "stopped")
    lines = [line for line in ended.lines if not _ADVICE.match(line)]
    for number, line in reversed(list(enumerate(lines))):
        if exited := _EXITED.match(line):
            # The stage gave no reason: it was killed, or has a bug. The line above, a traceback's last, names it.
            ending, from_shell = _ending(int(exited[1]))
            noise = ("> ", "ERROR: ", *from_shell)
            before = [text for text in lines[:number] if not text.startswith(noise)]
            return StageFailed(stage, f"{before[-1]} ({ending})" if before else ending, retryable=True)
    # DVC itself refused: dvc.yaml is wrong, an input is missing, or another run holds the output.
    return StageFailed(stage, ended.reason, retryable=not lines)


def _ending(code: int) -> tuple[str, list[str]]:
    """Words for the exit status of a command that DVC prints, and what the shell itself may have printed about it.

    DVC gives the command to the user's shell. One that becomes the command (bash) passes a signal on, as -9; one
    that waits for it (dash) prints the signal's name and itself ends with 128 + 9.
    """
    killed_by = -code if code < 0 else code - 128
    if killed_by in signal.valid_signals():
        return f"killed by signal {killed_by}", list(filter(None, [signal.strsignal(killed_by)]))
    return f"exit status {code}", []
