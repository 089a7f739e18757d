"""SIGTERM, as a pre-empted machine sends it: training finishes its step, saves its state and says that it may go on."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

STOPPED = os.EX_TEMPFAIL
"""The exit status of a training that was told to stop and saved its state: sysexits.h's "try again later"."""


@contextmanager
def stop_requested() -> Iterator[Callable[[], bool]]:
    """Within the block SIGTERM ends nothing; what is given tells whether it has come."""
    came = False

    def note(_signal: int, _frame: FrameType | None) -> None:
        nonlocal came
        came = True

    before = signal.signal(signal.SIGTERM, note)
    try:
        yield lambda: came
    finally:
        signal.signal(signal.SIGTERM, before)
