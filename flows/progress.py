"""The progress of a stage: for `facemask status`, and for long stages a bar in Prefect's UI."""

import re
import time
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact

from flows.processes.dvc_runner import Log, OnMessage
from flows.processes.workspace_lock import Lock
from pipeline.messages import Message

LONG_S = 10.0  # a stage that is done sooner gets no bar
EVERY_S = 5.0  # each update is a row in Prefect's database


def show_progress(stage: str, lock: Lock, log: Log) -> OnMessage:
    """Returns a receiver of messages that keeps the run's lock and the artifact `progress-STAGE` up to date."""
    started = updated = time.monotonic()
    shown: UUID | None = None
    failed = False

    def on_message(message: Message) -> None:
        nonlocal shown, updated, failed
        if message.kind != "progress" or not message.total:
            return
        percent = min(100.0, 100 * message.done / message.total)
        lock.update(progress=f"{percent:.0f}%: {message.text}")
        now = time.monotonic()
        is_due = now - updated >= EVERY_S or percent == 100
        if failed or now - started < LONG_S or not is_due:
            return
        updated = now
        try:
            if shown is None:
                made = create_progress_artifact(progress=percent, key=key_of(stage), description=message.text)
                shown = made if isinstance(made, UUID) else None
            else:
                update_progress_artifact(shown, percent, description=message.text)
        except Exception as error:  # noqa: BLE001  a training of days must not end because its bar cannot be drawn
            failed = True
            log(f"the progress of {stage} cannot be shown in Prefect's UI any more: {type(error).__name__}: {error}")

    return on_message


def key_of(stage: str) -> str:
    """An artifact key as Prefect allows it: small letters, digits and dashes."""
    return "progress-" + re.sub(r"[^a-z0-9]+", "-", stage.lower()).strip("-")
