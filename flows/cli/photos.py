"""Commands about photos: apply, app."""

import argparse
from pathlib import Path

from flows.cli.command import Commands, add_checkpoint, add_port
from pipeline.errors import FacemaskError


def add_commands(commands: Commands) -> None:
    """Add these commands."""
    summary = (
        "Put a mask on every face of photos, of any size and number, or take it off; all else stays the same pixels."
    )
    example = "facemask apply checkpoints ~/photos --out ~/masked\n  facemask apply --check ~/masked/anna.png"
    apply = commands.add("apply", _apply, summary, example)
    add_checkpoint(apply, nargs="?")
    apply.add_argument("images", nargs="*", type=Path, metavar="IMAGE|FOLDER", help="photos, and folders of photos")
    apply.add_argument("--out", type=Path, metavar="DIR", help="where the PNG files go; needed, except with --check")
    apply.add_argument("--unmask", action="store_true", help="take masks off instead")
    apply.add_argument("--side-by-side", action="store_true", help="write each photo beside its result, in one picture")
    check_help = "only print whether these are marked as synthetic, and how"
    apply.add_argument("--check", nargs="+", type=Path, metavar="PICTURE", help=check_help)

    summary = "Serve a page on 127.0.0.1 where a photo is dropped and seen masked, or with its mask taken off."
    app = commands.add("app", _app, summary, "facemask app checkpoints")
    add_checkpoint(app)
    add_port(app, 4281)


def _apply(options: argparse.Namespace) -> None:
    from models.inference.apply import apply
    from pipeline.tools.check_provenance import check_provenance

    if options.check:
        check_provenance(options.check)
    elif not (options.checkpoint and options.images and options.out):
        raise FacemaskError("name what to use, and where it goes: facemask apply CHECKPOINT IMAGE|FOLDER... --out DIR")
    else:
        apply(options.checkpoint, options.images, options.out, unmask=options.unmask, side_by_side=options.side_by_side)


def _app(options: argparse.Namespace) -> None:
    from models.inference.app import app

    app(options.checkpoint, options.port)
