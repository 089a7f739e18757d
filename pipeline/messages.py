"""Messages of a program on stdout and stderr: text for people, lines of JSON for a parent process.

With FACEMASK_MESSAGES=json in the environment, each message is one line, MARK and a JSON object; otherwise its text.
No code has to parse text.
"""

import io
import json
import os
import sys
from dataclasses import asdict, dataclass
from typing import Literal

VARIABLE = "FACEMASK_MESSAGES"
MARK = "@facemask "

Kind = Literal["progress", "error", "stopped"]


@dataclass(frozen=True)
class Message:
    """A message; `text` is the whole message in one line for people."""

    kind: Kind  # error: the user can act on it; stopped: the state is saved, the same command continues
    text: str
    done: int = 0  # of `total`, for progress
    total: int = 0


def progress(text: str, done: int, total: int) -> None:
    """Print how much of the work is done."""
    _print(Message("progress", text, done, total))


def stopped(text: str) -> None:
    """Print that the work was stopped and its state is saved."""
    _print(Message("stopped", text))


def error_line(text: str) -> str:
    """Return the line for stderr of an error that the user can act on; as text it is `facemask: error: TEXT`."""
    return _json(Message("error", text)) if _as_json() else f"facemask: error: {text}"


def parse(line: str) -> Message | None:
    """Return the message in a line of output, None for any other line."""
    if not line.startswith(MARK):
        return None
    try:
        return Message(**json.loads(line.removeprefix(MARK)))
    except (ValueError, TypeError):  # a similar line of another program
        return None


def print_any_text() -> None:
    """Make stdout and stderr print characters that their encoding lacks as escapes, instead of raising an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


def _print(message: Message) -> None:
    print(_json(message) if _as_json() else message.text, flush=True)


def _as_json() -> bool:
    return os.environ.get(VARIABLE) == "json"


def _json(message: Message) -> str:
    return MARK + json.dumps(asdict(message), ensure_ascii=False)
