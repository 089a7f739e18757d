"""The console of `facemask run`, in place of Prefect's (flows/local_server/run.py names it in Prefect's settings)."""

import logging
import sys
import time
from pathlib import Path
from typing import TextIO

from flows.processes.elapsed import clock

_RUNS = ("prefect.flow_runs", "prefect.task_runs")
_FLOWS = str(Path(__file__).parent)


class StageLines(logging.StreamHandler[TextIO]):
    """Prints what flows/ logs, with the time since the start, indented unless it names a stage.

    Prefect's state changes and tracebacks have the same logger names, and are left out.
    """

    def __init__(self, **_settings: object) -> None:
        super().__init__(sys.stdout)
        self._started = time.monotonic()

    def filter(self, record: logging.LogRecord) -> bool:
        return record.pathname.startswith(_FLOWS) or not record.name.startswith(_RUNS)

    def format(self, record: logging.LogRecord) -> str:
        line = record.getMessage()
        indent = "" if line.startswith("stage ") else "  "
        return f"{clock(time.monotonic() - self._started):>6}  {indent}{line}"
