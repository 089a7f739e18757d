"""The command init."""

import argparse
from pathlib import Path

from flows.cli.command import Commands


def add_commands(commands: Commands) -> None:
    """Add these commands."""
    summary = (
        "Make a project folder with its own git and DVC repository, parameters and a copy of the code; in a project, "
        "update that copy to the installed version."
    )
    init = commands.add("init", _init, summary, "facemask init ~/masks")
    init.add_argument("folder", type=Path, metavar="DIR", help="a new or empty folder, or a project")
    sample_help = "use a small generated sample instead of FFHQ and MaskedFace-Net"
    init.add_argument("--sample", action="store_true", help=sample_help)


def _init(options: argparse.Namespace) -> None:
    from flows.init_project import init

    init(options.folder, sample=options.sample)
