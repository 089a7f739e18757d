"""SIGTERM, as the scheduler of a pre-emptible machine sends it: training saves its state after the current step."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

STOPPED = os.EX_TEMPFAIL
"""The exit status of a training that saved its state on SIGTERM: "try again later" in sysexits.h."""


@contextmanager
def stop_requested() -> Iterator[Callable[[], bool]]:
    """Yield a function that returns whether SIGTERM was received; within the block it does not end the process."""
    received = False

    def on_signal(_signal: int, _frame: FrameType | None) -> None:
        nonlocal received
        received = True

    before = signal.signal(signal.SIGTERM, on_signal)
    try:
        yield lambda: received
    finally:
        signal.signal(signal.SIGTERM, before)
