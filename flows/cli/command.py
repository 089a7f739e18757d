"""What the modules of commands share."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

Command = Callable[[argparse.Namespace], None]


class Commands:
    """Adds commands to the parser of `facemask`."""

    def __init__(self, parsers: "argparse._SubParsersAction[Any]") -> None:
        self._parsers = parsers

    def add(self, name: str, command: Command, summary: str, example: str) -> argparse.ArgumentParser:
        """Returns the parser of a new command, for its own arguments."""
        parser: argparse.ArgumentParser = self._parsers.add_parser(
            name,
            help=summary,
            description=summary,
            epilog=f"example:\n  {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        parser.set_defaults(command=command)
        return parser


def add_port(parser: argparse.ArgumentParser, default: int) -> None:
    """Add the option --port."""
    parser.add_argument("--port", type=_port, default=default, help="port of the page (default: %(default)s)")


def add_checkpoint(parser: argparse.ArgumentParser, last: str = "") -> None:
    """Add the argument CHECKPOINT; `last`: what else it may be, and the default, for the help."""
    folder = f"a folder with checkpoint.json, or {last}" if last else "or a folder with checkpoint.json"
    help_ = f"a model, such as v1 or promoted, {folder}{'' if last else ' (default: the promoted model)'}"
    parser.add_argument("checkpoint", nargs="?", type=Path, metavar="CHECKPOINT", help=help_)


def _port(text: str) -> int:
    port = int(text)
    if not 1 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{port} is no port: take one of 1 to 65535")
    return port
