"""Commands about photos: apply, app."""

import argparse
from pathlib import Path

from flows.cli.command import Commands, add_checkpoint, add_port
from models.training.state_files import JSON_NAME
from pipeline.errors import FacemaskError
from pipeline.masks.catalogue import KINDS

_USAGE = "facemask apply [CHECKPOINT] IMAGE|FOLDER... --out DIR"
_DRAWING = ("kind", "colour", "texture", "like", "seed")  # options that a drawing has and a checkpoint has not


def add_commands(commands: Commands) -> None:
    """Add these commands."""
    summary = (
        "Put a mask on every face of photos, of any size and number, or take it off; all else stays the same pixels. "
        "Without a checkpoint the masks are drawn; with one, its generator paints."
    )
    example = (
        "facemask apply ~/photos --out ~/masked --kind kn95 --colour '#1f6feb'\n"
        "  facemask apply checkpoints ~/photos --out ~/masked\n  facemask apply --check ~/masked/anna.png"
    )
    apply = commands.add("apply", _apply, summary, example)
    paths_help = "photos, and folders of photos; before them, for masks of a generator, a folder with checkpoint.json"
    apply.add_argument("paths", nargs="*", type=Path, metavar="[CHECKPOINT] IMAGE|FOLDER", help=paths_help)
    apply.add_argument("--out", type=Path, metavar="DIR", help="where the PNG files go; needed, except with --check")
    apply.add_argument("--unmask", action="store_true", help="take masks off instead; needs a checkpoint")
    apply.add_argument("--side-by-side", action="store_true", help="write each photo beside its result, in one picture")
    check_help = "only print whether these are marked as synthetic, and how"
    apply.add_argument("--check", nargs="+", type=Path, metavar="PICTURE", help=check_help)
    kinds = "\n".join(f"  {name:<10} {kind.description}" for name, kind in KINDS.items())
    drawn = apply.add_argument_group(
        "drawn masks", f"Options for drawing, without a checkpoint. KIND is one of:\n{kinds}"
    )
    drawn.add_argument("--kind", metavar="KIND", help="default: a different one for each face")
    drawn.add_argument("--colour", "--color", metavar="COLOUR", help="as '#1f6feb' or a CSS name; default: the kind's")
    drawn.add_argument("--texture", type=Path, metavar="IMAGE", help="an image as the fabric, instead of a colour")
    like_help = "a photo of somebody whose mask is copied, instead of kind, colour and texture"
    drawn.add_argument("--like", type=Path, metavar="IMAGE", help=like_help)
    drawn.add_argument("--seed", type=int, metavar="N", help="the same seed, the same masks; default: from the photo")

    summary = "Serve a page on 127.0.0.1 where a photo is dropped and seen masked, or with its mask taken off. "
    summary += "Without a checkpoint the masks are drawn."
    app = commands.add("app", _app, summary, "facemask app")
    add_checkpoint(app, nargs="?")
    add_port(app, 4281)


def _apply(options: argparse.Namespace) -> None:
    if options.check:
        from pipeline.tools.check_provenance import check_provenance

        check_provenance(options.check)
        return
    checkpoint, images = _split_checkpoint(options.paths)
    if not (images and options.out):
        raise FacemaskError(f"name what to use, and where it goes: {_USAGE}")
    if checkpoint is None:
        _draw(options, images)
        return
    if given := [name for name in _DRAWING if getattr(options, name) is not None]:
        raise FacemaskError(f"--{given[0]} is for drawn masks, and {checkpoint} is a checkpoint: leave one of them out")
    from models.inference.apply import apply

    apply(checkpoint, images, options.out, unmask=options.unmask, side_by_side=options.side_by_side)


def _draw(options: argparse.Namespace, images: list[Path]) -> None:
    """Draw masks. Torch is not imported on this way: it would take seconds."""
    from pipeline.tools.draw_masks import draw_task, make_choice
    from pipeline.tools.paint_photos import paint_photos
    from pipeline.tools.photos import has_images

    if options.unmask:
        raise FacemaskError("--unmask needs a checkpoint: facemask apply CHECKPOINT IMAGE|FOLDER... --out DIR --unmask")
    if not has_images(images[0]):  # meant as a checkpoint: to draw on the others would not be what was asked for
        raise FacemaskError(f"{images[0]} has neither {JSON_NAME} nor images: name a checkpoint, or photos")
    choice = make_choice(options.kind, options.colour, options.texture, options.seed, options.like)
    paint_photos(images, options.out, draw_task(choice, side_by_side=options.side_by_side))


def _split_checkpoint(paths: list[Path]) -> tuple[Path | None, list[Path]]:
    """Return the checkpoint, if the first path is one, and the photos."""
    if not paths:
        return None, []
    first = paths[0]
    if (first / JSON_NAME).is_file():
        return first, paths[1:]
    if not first.exists():
        raise FacemaskError(f"{first} does not exist: name a checkpoint's folder, photos, or folders of photos")
    return None, paths


def _app(options: argparse.Namespace) -> None:
    from models.inference.app import app

    app(options.checkpoint, options.port)
