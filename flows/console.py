"""How a run looks in this terminal: the stages' lines with the time since the start, without Prefect's records."""

import logging
import sys
import time

from prefect.logging.handlers import PrefectConsoleHandler

SHOWN = "facemask_line"  # the attribute of a log record that is a line of ours


def show_stage_lines() -> None:
    started = time.monotonic()
    root = logging.getLogger()
    for handler in root.handlers:
        if isinstance(handler, PrefectConsoleHandler):
            handler.addFilter(_is_no_run_record)
    lines = logging.StreamHandler(sys.stdout)
    lines.addFilter(lambda record: hasattr(record, SHOWN))
    lines.setFormatter(_Elapsed(started))
    root.addHandler(lines)


def clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02}"


def _is_no_run_record(record: logging.LogRecord) -> bool:
    """False for what Prefect says about a run: its states, and tracebacks where our one line tells the same."""
    return not record.name.startswith(("prefect.flow_runs", "prefect.task_runs"))


class _Elapsed(logging.Formatter):
    def __init__(self, started: float) -> None:
        super().__init__()
        self._started = started

    def format(self, record: logging.LogRecord) -> str:
        line = record.getMessage()
        indent = "" if line.startswith("stage ") else "  "
        return f"{clock(time.monotonic() - self._started):>6}  {indent}{line}"
