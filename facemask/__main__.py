"""The `facemask` command. In a project's folder the project's own copy of the code runs, as it does under DVC."""

import os
import re
import sys
from pathlib import Path

_PROJECT = (Path("dvc.yaml"), Path("flows/cli/__init__.py"))  # what every project and clone has
_VERSION = Path("pipeline/version.py")


def main() -> None:
    """Run the command line, with the code of the project in the current folder, if there is one.

    DVC's stages, and Prefect's flows, are run by `python -m` in that folder, and therefore with its code: otherwise a
    command could read with one version what another version has written. `facemask init` updates that code, and
    therefore runs the installed one.
    """
    if sys.argv[1:2] != ["init"] and all(path.is_file() for path in _PROJECT):
        sys.path.insert(0, os.getcwd())  # noqa: PTH109 - Path.cwd() is the same, as a Path
    from flows.cli import main as command_line

    _tell_other_version()
    command_line()


def _tell_other_version() -> None:
    """Print a line where the code that runs is of another version than the installed one."""
    from pipeline.version import VERSION

    installed = Path(__file__).parents[1] / _VERSION
    found = re.search(r'^VERSION = "(.*)"$', installed.read_text(encoding="utf-8"), re.MULTILINE)
    if found and found[1] != VERSION:
        print(
            f"facemask: this project has facemask {VERSION}, and {found[1]} is installed: 'facemask init .' updates it",
            file=sys.stderr,
        )


if __name__ == "__main__":
    main()
