"""The work folder of a training: its newest state, samples and curves, until they are published."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from models.training import checkpoint
from models.training.checkpoint import Describe, TrainingState
from pipeline.storage.files import replacing, replacing_folder

_FINISHED = "finished"  # in a work folder: the digest of the code that finished this training


def latest_state(work: Path) -> Path | None:
    """The newest saved state; None before the first one."""
    return max(work.glob("state-*"), default=None)


def save_latest(work: Path, state: TrainingState, describe: Describe) -> None:
    """Save the state, then remove the earlier ones."""
    newest = work / f"state-{state.images_seen:012d}"
    checkpoint.save(newest, state, describe)
    for older in work.glob("state-*"):
        if older != newest:
            shutil.rmtree(older)


def mark_finished(work: Path, code: str) -> None:
    """Keep a finished training's last state until the next training: `code` is the digest of the code that made it.

    After a kill before DVC has recorded the result, the same command then publishes it again.
    """
    with replacing(work / _FINISHED) as beside:
        beside.write_text(code, encoding="utf-8")


def remove_finished(work: Path, code: str) -> None:
    """Remove finished trainings: those beside `work`, and `work` itself if other code made it."""
    for finished in work.parent.glob(f"*/{_FINISHED}"):
        if finished.parent != work:
            shutil.rmtree(finished.parent)
        elif finished.read_text(encoding="utf-8") != code:
            for entry in (*work.glob("state-*"), work / "live", work / "strips"):
                shutil.rmtree(entry, ignore_errors=True)
            finished.unlink()


def publish(made: Path, target: Path, files: Sequence[Path] = ()) -> None:
    """Replace `target` by a copy of the finished folder `made`, which may be on another disk, and of `files`."""
    with replacing_folder(target) as beside:
        shutil.copytree(made, beside, dirs_exist_ok=True)
        for path in files:
            shutil.copyfile(path, beside / path.name)
