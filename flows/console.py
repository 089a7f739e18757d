"""The console of `facemask run`: the stages' lines with the time since the start, without Prefect's own records.

Prefect's logging settings can replace its console handler by a class, but not filter what it gets: a run logs our lines
and Prefect's state changes and tracebacks under the same logger names.
"""

import logging
import sys
import time
from pathlib import Path

from prefect.logging.handlers import PrefectConsoleHandler

from flows.processes.elapsed import clock

_RUNS = ("prefect.flow_runs", "prefect.task_runs")
_FLOWS = str(Path(__file__).parent)


def show_stage_lines() -> None:
    """Print what the modules of flows/ log in a run, and no more of Prefect's records of runs."""
    root = logging.getLogger()
    for handler in root.handlers:
        if isinstance(handler, PrefectConsoleHandler):
            handler.addFilter(lambda record: not record.name.startswith(_RUNS))
    lines = logging.StreamHandler(sys.stdout)
    lines.addFilter(lambda record: record.name.startswith(_RUNS) and record.pathname.startswith(_FLOWS))
    lines.setFormatter(_Elapsed())
    root.addHandler(lines)


class _Elapsed(logging.Formatter):
    """The time since it was made, and the message; indented unless it names a stage."""

    def __init__(self) -> None:
        super().__init__()
        self._started = time.monotonic()

    def format(self, record: logging.LogRecord) -> str:
        line = record.getMessage()
        indent = "" if line.startswith("stage ") else "  "
        return f"{clock(time.monotonic() - self._started):>6}  {indent}{line}"
