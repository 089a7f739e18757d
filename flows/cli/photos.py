"""Commands about photos: apply, app."""

import argparse
from pathlib import Path

from flows.cli.command import Commands, add_checkpoint, add_port
from models.training.state_files import JSON_NAME
from pipeline.errors import FacemaskError
from pipeline.masks.catalogue import KINDS

_USAGE = "facemask apply [MODEL] IMAGE|FOLDER... --out DIR"
_DRAWING = ("kind", "colour", "texture", "like", "seed")  # options that a drawing has and a checkpoint has not


def add_commands(commands: Commands) -> None:
    """Add these commands."""
    summary = (
        "Put a mask on every face of photos, or take masks off; all other pixels stay the same. Without a model, masks "
        "and lower faces are drawn; with a model, its generators make them. Masks can be drawn on clips too."
    )
    example = (
        "facemask apply ~/photos --out ~/masked --kind kn95 --colour '#1f6feb'\n"
        "  facemask apply clip.mp4 --out ~/masked\n"
        "  facemask apply promoted ~/photos --out ~/masked\n"
        "  facemask apply ~/photos --out ~/bare --unmask\n"
        "  facemask apply drawing ~/photos --out ~/bare --unmask\n"
        "  facemask apply --check ~/masked/anna.png"
    )
    apply = commands.add("apply", _apply, summary, example)
    paths_help = (
        "photos, folders of photos, and clips. MODEL is a model of the registry (v1, promoted), a folder with "
        "checkpoint.json, or drawing: no model, even if one is promoted"
    )
    apply.add_argument("paths", nargs="*", type=Path, metavar="[MODEL] IMAGE|FOLDER", help=paths_help)
    apply.add_argument(
        "--out", type=Path, metavar="DIR", help="folder for the PNG and MP4 files; required without --check"
    )
    unmask_help = "take masks off: by the promoted model; without one, a likely lower face is drawn"
    apply.add_argument("--unmask", action="store_true", help=unmask_help)
    apply.add_argument(
        "--side-by-side", action="store_true", help="write photo and result side by side, in one picture"
    )
    check_help = "only print whether these pictures and clips are marked as synthetic, and what made them"
    apply.add_argument("--check", nargs="+", type=Path, metavar="PICTURE", help=check_help)
    kinds = "\n".join(f"  {name:<10} {kind.description}" for name, kind in KINDS.items())
    drawn = apply.add_argument_group("drawn masks", f"Options for drawing, without a model. KIND is one of:\n{kinds}")
    drawn.add_argument("--kind", metavar="KIND", help="default: a different one for each face")
    drawn.add_argument("--colour", "--color", metavar="COLOUR", help="'#1f6feb' or a CSS name; default: the kind's")
    drawn.add_argument("--texture", type=Path, metavar="IMAGE", help="an image as the fabric, instead of a colour")
    like_help = "a photo of a person whose mask is copied, instead of kind, colour and texture"
    drawn.add_argument("--like", type=Path, metavar="IMAGE", help=like_help)
    drawn.add_argument("--seed", type=int, metavar="N", help="same seed, same masks; default: from the photo")

    summary = "Serve a page on 127.0.0.1 that puts masks on the photos that are dropped on it, or takes them off."
    app = commands.add("app", _app, summary, "facemask app")
    add_checkpoint(app, "drawing, which needs no model (default: the promoted model, else drawing)")
    add_port(app, 4281)


def _apply(options: argparse.Namespace) -> None:
    if options.check:
        from pipeline.tools.check_provenance import check_provenance

        check_provenance(options.check)
        return
    named, images = _split_checkpoint(options.paths)
    if not images:
        raise FacemaskError(f"name the photos: {_USAGE}")
    if options.out is None:
        raise FacemaskError(f"--out is missing: name the folder where the PNG files go, as in {_USAGE}")
    clips, draws = _clips_of(images), _is_none(named)
    if clips and (not draws or options.unmask or options.side_by_side):
        raise FacemaskError(
            f"{clips[0]} is a clip, on which masks are only drawn: leave the model, --unmask and --side-by-side out"
        )
    given = next((name for name in _DRAWING if getattr(options, name) is not None), None)
    if given and (options.unmask or not draws):
        other = "--unmask takes masks off" if options.unmask else f"{named} is a checkpoint"
        raise FacemaskError(f"--{given} is for drawn masks, and {other}: leave one of them out")
    checkpoint = _checkpoint(named, options.unmask)
    if checkpoint is None:
        _draw(options, images)
        return
    from models.inference.apply import apply

    apply(checkpoint, images, options.out, unmask=options.unmask, side_by_side=options.side_by_side)


def _is_none(named: Path | None) -> bool:
    """Whether no model is named, or `drawing`, the name for none."""
    if named is None:
        return True
    from flows.model_choice import is_drawing

    return is_drawing(named)


def _checkpoint(named: Path | None, unmask: bool) -> Path | None:
    """The folder of the checkpoint that paints; None where it is drawn: masks, unless a model is named."""
    if named is None and not unmask:
        return None
    from flows.model_choice import checkpoint_or_drawing

    return checkpoint_or_drawing(named)


def _clips_of(images: list[Path]) -> list[Path]:
    """The clips among what is named."""
    from pipeline.storage.clips import is_clip_name

    return [path for path in images if path.is_file() and is_clip_name(path.name)]


def _draw(options: argparse.Namespace, images: list[Path]) -> None:
    """Draw masks, or lower faces in their place. Torch is not imported on this way: it would take seconds."""
    from pipeline.tools.draw_bare_faces import bare_task
    from pipeline.tools.draw_clip import draw_clips
    from pipeline.tools.draw_masks import draw_task, make_choice
    from pipeline.tools.paint_photos import paint_photos
    from pipeline.tools.photos import has_images

    if not has_images(images[0]):  # meant as a checkpoint: to draw on the others would not be what was asked for
        raise FacemaskError(f"{images[0]} has neither {JSON_NAME} nor images: name a checkpoint, or photos")
    choice = make_choice(options.kind, options.colour, options.texture, options.seed, options.like)
    failed, clips = None, _clips_of(images)
    try:
        if clips:
            draw_clips(clips, options.out, choice)
    except FacemaskError as error:  # the photos are done all the same
        failed = error
    if photos := [path for path in images if path not in clips]:
        beside = options.side_by_side
        task = bare_task(side_by_side=beside) if options.unmask else draw_task(choice, side_by_side=beside)
        paint_photos(photos, options.out, task)
    if failed:
        raise failed


def _split_checkpoint(paths: list[Path]) -> tuple[Path | None, list[Path]]:
    """Return the model or checkpoint, if the first path names one, and the photos."""
    if not paths:
        return None, []
    first = paths[0]
    if (first / JSON_NAME).is_file():
        return first, paths[1:]
    if first.is_dir() or first.is_file():
        return None, paths
    from flows.model_choice import is_checkpoint, is_drawing, models_text  # only here: drawing needs no registry
    from models import registry
    from pipeline.sources.folders import why_no_file

    if is_checkpoint(first) or is_drawing(first):
        return first, paths[1:]
    known = models_text(registry.read())
    raise FacemaskError(f"{why_no_file(first)}, and no model: name a photo, a folder, or a model ({known})")


def _app(options: argparse.Namespace) -> None:
    from flows.model_choice import checkpoint_or_drawing
    from models.inference.app import app

    app(checkpoint_or_drawing(options.checkpoint), options.port)
