"""The work folder of a training: its newest state, samples and curves, until they are published."""

import shutil
from pathlib import Path

from models.training import checkpoint
from models.training.checkpoint import Describe, TrainingState
from pipeline.storage.files import replacing_folder


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


def publish(made: Path, target: Path) -> None:
    """Replace `target` by a copy of the finished folder `made`, which may be on another disk."""
    with replacing_folder(target) as beside:
        shutil.copytree(made, beside, dirs_exist_ok=True)
