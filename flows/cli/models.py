"""Commands about trained models: models, export."""

import argparse
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
