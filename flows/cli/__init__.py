"""The `facemask` command, a module for each group of commands. Nothing heavy is imported before a command runs."""

import argparse
import difflib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from flows.cli import data, models, photos, project, server
from flows.cli.command import Command, Commands
from pipeline.command import run
from pipeline.version import VERSION


class _Parser(argparse.ArgumentParser):
    """Names the command that was probably meant."""

    def error(self, message: str) -> NoReturn:
        if "invalid choice: " in message and (words := [word for word in sys.argv[1:] if not word.startswith("-")]):
            choices = [choice for action in self._actions for choice in action.choices or ()]
            if close := difflib.get_close_matches(words[0], choices, 1):
                message += f": did you mean '{close[0]}'?"
        super().error(message)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command that `arguments`, by default the command line, names; without any, print the help."""
    os.environ.setdefault("DO_NOT_TRACK", "1")  # before anything is imported that would send or announce usage data
    top = parser()
    options = top.parse_args(arguments)
    command: Command | None = getattr(options, "command", None)
    if command is None:
        top.print_help()
    else:
        run(lambda: command(options))


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line. Each command sets `command`, a function of the options."""
    top = _Parser(
        prog="facemask",
        description="Train a model that puts a mask on any face, and takes it off again.",
    )
    top.add_argument("--version", action="version", version=f"facemask {VERSION}", help="print the version")
    commands = Commands(top.add_subparsers(title="commands", metavar="COMMAND", parser_class=argparse.ArgumentParser))
    for group in (project, server, data, photos, models):
        group.add_commands(commands)
    return top
