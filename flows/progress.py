"""The progress of long stages in Prefect's UI: a bar that follows the lines that the stage prints."""

import re
import time
from collections.abc import Callable
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact

Log = Callable[[str], None]

LONG_S = 10.0  # a stage that is done sooner gets no bar
EVERY_S = 5.0  # each update is a row in Prefect's database
_COUNTS = re.compile(r"([\d,]+)(?: of |/)([\d,]+) (?:image|file)s?\b")


def followed(stage: str, log: Log) -> Log:
    """`log`, which also keeps artifact `progress-STAGE` at what the lines say; to be used within a run."""
    started = time.monotonic()
    shown: UUID | None = None
    updated = started
    given_up = False

    def follow(line: str) -> None:
        nonlocal shown, updated, given_up
        log(line)
        now, share = time.monotonic(), share_done(line)
        if share is None or given_up or now - started < LONG_S or (now - updated < EVERY_S and share < 1):
            return
        updated = now
        try:
            if shown is None:
                made = create_progress_artifact(progress=100 * share, key=key_of(stage), description=line)
                shown = made if isinstance(made, UUID) else None
            else:
                update_progress_artifact(shown, 100 * share, description=line)
        except Exception as error:  # noqa: BLE001  a training of days must not end because its bar cannot be drawn
            given_up = True
            log(f"the progress of {stage} cannot be shown in Prefect's UI any more: {type(error).__name__}: {error}")

    return follow


def share_done(line: str) -> float | None:
    """How much of it is done, 0-1, by a line as `measure ffhq: 3,000 of 8,000 images, ...`; None for other lines."""
    if not (found := _COUNTS.search(line)):
        return None
    done, total = (int(number.replace(",", "")) for number in found.groups())
    return min(1.0, done / total) if total else None


def key_of(stage: str) -> str:
    """A key of the kind that Prefect takes: small letters, digits and dashes."""
    return "progress-" + re.sub(r"[^a-z0-9]+", "-", stage.lower()).strip("-")
