"""Commands about trained models: models, export, sample."""

import argparse
from collections.abc import Callable
from pathlib import Path

from flows.cli.command import Commands, add_checkpoint


def add_commands(commands: Commands) -> None:
    """Add these commands."""
    summary = "List the models that were trained here, with their metrics and their data; * is the promoted one."
    models = commands.add("models", _models, summary, "facemask models --promote v1")
    models.add_argument("--promote", metavar="NAME", help="make this one the promoted model; an older one: a rollback")

    summary = "Write a generator as ONNX, checked against PyTorch, and its model card as README.md beside it."
    export = commands.add("export", _export, summary, "facemask export v1 exports/mask/mask.onnx")
    add_checkpoint(export)
    export.add_argument("out", type=Path, metavar="OUT.onnx", help="the file to write, in its own folder")
    export.add_argument("--unmask", action="store_true", help="the generator that takes masks off")

    summary = "Make faces that nobody has, each without and with a mask, with a model of the method fastgan."
    sample = commands.add("sample", _sample, summary, "facemask sample v2 --out faces --count 64 --seed 0")
    sample.add_argument(
        "checkpoint", type=Path, metavar="CHECKPOINT", help="a model, as v2, or a folder with checkpoint.json"
    )
    sample.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the PNG files go")
    sample.add_argument("--count", type=_number(1), default=64, metavar="N", help="faces (default: %(default)s)")
    sample.add_argument(
        "--seed", type=_number(0), default=0, metavar="N", help="the same seed, the same faces (default: %(default)s)"
    )


def _models(options: argparse.Namespace) -> None:
    from flows.model_list import list_models, promote

    if options.promote:
        promote(options.promote)
    else:
        list_models()


def _export(options: argparse.Namespace) -> None:
    from flows.model_choice import choose_checkpoint
    from models.export.onnx_export import export

    export(choose_checkpoint(options.checkpoint), options.out, "unmask" if options.unmask else "mask")


def _sample(options: argparse.Namespace) -> None:
    from flows.model_choice import choose_checkpoint
    from models.inference.sample import sample

    sample(choose_checkpoint(options.checkpoint), options.out, options.count, options.seed)


def _number(least: int) -> Callable[[str], int]:
    """A reader of whole numbers from `least` on."""

    def read(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text} is no whole number from {least} on")
        return int(text)

    return read
