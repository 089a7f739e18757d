"""The installed `facemask` command. In a project's folder, commands of the project run its own copy of the code.

DVC's stages and Prefect's flows run in that folder by `python -m`, and therefore with its code: otherwise these
commands could read with one version what another one is writing. All other commands may be used on what others sent, a
page or photos, and run no code of the current folder.
"""

import os
import re
import sys
from pathlib import Path

from pipeline.version import VERSION, numbers

_COMMAND_LINE = Path("flows/cli/__init__.py")
_OF_A_PROJECT = ("up", "status", "down", "run", "fetch", "models")


def main() -> None:
    """Run the command line: of a project's commands that of the project, by `python -m flows.cli` in its folder."""
    here = Path("dvc.yaml").is_file() and _COMMAND_LINE.is_file()
    if here and not _COMMAND_LINE.samefile(Path(__file__).parents[1] / _COMMAND_LINE):
        if sys.argv[1:2] != ["init"]:
            _tell_other_version()
        if sys.argv[1:2] and sys.argv[1] in _OF_A_PROJECT:
            os.execv(sys.executable, [sys.executable, "-m", "flows.cli", *sys.argv[1:]])
    from flows.cli import main as command_line

    command_line()


def _tell_other_version() -> None:
    """Print a line where the project in the current folder has another version than this one."""
    file = Path("pipeline/version.py")
    found = re.search(r'^VERSION = "(.*)"$', file.read_text(encoding="utf-8") if file.is_file() else "", re.MULTILINE)
    if found and found[1] != VERSION:
        remedy = f"install {found[1]}" if numbers(found[1]) > numbers(VERSION) else "'facemask init .' updates it"
        print(
            f"facemask: this project has facemask {found[1]}, and {VERSION} is installed: {remedy}",
            file=sys.stderr,
            flush=True,
        )
