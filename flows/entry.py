"""The installed `facemask` command. In a project's folder the project's own copy of the code runs.

DVC's stages and Prefect's flows run in that folder by `python -m`, and therefore with its code: otherwise a command
could read with one version what another one has written.
"""

import os
import re
import sys
from pathlib import Path

from pipeline.version import VERSION

_COMMAND_LINE = Path("flows/cli/__init__.py")


def main() -> None:
    """Run the command line: in a project or a clone that of its code, by `python -m flows.cli`, else the installed one.

    `facemask init` is always the installed one: it brings this code to projects.
    """
    here = Path("dvc.yaml").is_file() and _COMMAND_LINE.is_file()
    if here and sys.argv[1:2] != ["init"] and not _COMMAND_LINE.samefile(Path(__file__).parents[1] / _COMMAND_LINE):
        _tell_other_version()
        os.execv(sys.executable, [sys.executable, "-m", "flows.cli", *sys.argv[1:]])
    from flows.cli import main as command_line

    command_line()


def _tell_other_version() -> None:
    """Print a line where the project in the current folder has another version than this one."""
    file = Path("pipeline/version.py")
    found = re.search(r'^VERSION = "(.*)"$', file.read_text(encoding="utf-8") if file.is_file() else "", re.MULTILINE)
    if found and found[1] != VERSION:
        print(
            f"facemask: this project has facemask {found[1]}, and {VERSION} is installed: 'facemask init .' updates it",
            file=sys.stderr,
            flush=True,
        )
