"""The command init."""

import argparse
from pathlib import Path

from flows.cli.command import Commands


def add_commands(commands: Commands) -> None:
    """Add these commands."""
    summary = (
        "Make a folder a project, in its own git and DVC repository, with parameters and a copy of the code that runs; "
        "in a project, bring that copy to the installed version."
    )
    init = commands.add("init", _init, summary, "facemask init ~/masks")
    init.add_argument("folder", type=Path, metavar="DIR", help="a new folder, an empty one, or a project")
    sample_help = "a new project with a small generated sample in place of FFHQ and MaskedFace-Net, to try it"
    init.add_argument("--sample", action="store_true", help=sample_help)


def _init(options: argparse.Namespace) -> None:
    from flows.init_project import init

    init(options.folder, sample=options.sample)
