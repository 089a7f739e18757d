"""The progress of long stages in Prefect's UI: a bar that follows the stage's progress messages."""

import json
import re
import time
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact

from flows.local_server.status import PROGRESS_FILE
from flows.processes.dvc_runner import Log, OnMessage
from pipeline.messages import Message
from pipeline.paths import Paths
from pipeline.storage.files import replacing

LONG_S = 10.0  # a stage that is done sooner gets no bar
EVERY_S = 5.0  # each update is a row in Prefect's database


def show_progress(stage: str, log: Log) -> OnMessage:
    """Returns a receiver of messages that keeps the artifact `progress-STAGE` up to date; to be used within a run."""
    started = updated = time.monotonic()
    shown: UUID | None = None
    failed = False

    def on_message(message: Message) -> None:
        nonlocal shown, updated, failed
        now = time.monotonic()
        if message.kind == "progress" and message.total:
            record_progress(stage, message)
        if message.kind != "progress" or not message.total or failed or now - started < LONG_S:
            return
        percent = min(100.0, 100 * message.done / message.total)
        if now - updated < EVERY_S and percent < 100:
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


def record_progress(stage: str, message: Message) -> None:
    """Keep a stage's last progress message in work/progress.json, for `facemask status`."""
    share = min(1.0, message.done / message.total)
    text = json.dumps({"stage": stage, "text": f"{share:.0%}: {message.text}"}, ensure_ascii=False)
    with replacing(Paths().work() / PROGRESS_FILE) as beside:
        beside.write_text(text, encoding="utf-8")


def key_of(stage: str) -> str:
    """An artifact key as Prefect allows it: small letters, digits and dashes."""
    return "progress-" + re.sub(r"[^a-z0-9]+", "-", stage.lower()).strip("-")
