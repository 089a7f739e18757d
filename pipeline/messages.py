"""Messages from a program to whoever started it: lines of text for a person, lines of JSON for a program.

A parent that sets FACEMASK_MESSAGES=json in the environment gets each message as one line, MARK and a JSON object;
without it the same message is printed as its text. So no code has to parse another part's English.
"""

import json
import os
from dataclasses import asdict, dataclass
from typing import Literal

VARIABLE = "FACEMASK_MESSAGES"
MARK = "@facemask "

Kind = Literal["progress", "error", "stopped"]


@dataclass(frozen=True)
class Message:
    """One message. `text` is one line for people, which says all of it."""

    kind: Kind  # error: what a user can act on; stopped: the state is saved, and the same command goes on from there
    text: str
    done: int = 0  # of `total`, for progress
    total: int = 0


def progress(text: str, done: int, total: int) -> None:
    """Print how much of a piece of work is done."""
    _print(Message("progress", text, done, total))


def stopped(text: str) -> None:
    """Print that the work was stopped, and that its state is saved."""
    _print(Message("stopped", text))


def error_line(text: str) -> str:
    """The line, for stderr, of an error that a user can act on; for people it begins with `facemask: error: `."""
    return _json(Message("error", text)) if _as_json() else f"facemask: error: {text}"


def parse(line: str) -> Message | None:
    """The message in a line of a program's output; None for other lines."""
    if not line.startswith(MARK):
        return None
    try:
        return Message(**json.loads(line.removeprefix(MARK)))
    except (ValueError, TypeError):  # another program's line that looks alike
        return None


def _print(message: Message) -> None:
    print(_json(message) if _as_json() else message.text, flush=True)


def _as_json() -> bool:
    return os.environ.get(VARIABLE) == "json"


def _json(message: Message) -> str:
    return MARK + json.dumps(asdict(message), ensure_ascii=False)
