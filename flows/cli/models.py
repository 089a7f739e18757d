"""Commands about trained models: models, export, sample, survey."""

import argparse
from collections.abc import Callable
from pathlib import Path

from flows.cli.command import Commands, add_checkpoint, add_port


def add_commands(commands: Commands) -> None:
    """Add these commands."""
    summary = "List the models that were trained here, with metrics and data digests; * marks the promoted one."
    models = commands.add("models", _models, summary, "facemask models --promote v1")
    models.add_argument("--promote", metavar="NAME", help="promote this model; an older one is a rollback")

    summary = "Write a generator as ONNX, compared with PyTorch, and its model card as README.md in the same folder."
    export = commands.add("export", _export, summary, "facemask export v1 exports/mask/mask.onnx")
    add_checkpoint(export)
    export.add_argument("out", type=Path, metavar="OUT.onnx", help="the file to write, in a folder for this model")
    export.add_argument("--unmask", action="store_true", help="export the generator that takes masks off")

    summary = "Make faces of people who do not exist, each without and with a mask, with a model of the method fastgan."
    sample = commands.add("sample", _sample, summary, "facemask sample v2 --out faces --count 64 --seed 0")
    sample.add_argument(
        "checkpoint", type=Path, metavar="CHECKPOINT", help="a model, such as v2, or a folder with checkpoint.json"
    )
    sample.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the PNG files")
    sample.add_argument(
        "--count", type=_number(1), default=64, metavar="N", help="how many faces (default: %(default)s)"
    )
    sample.add_argument(
        "--seed",
        type=_number(0),
        default=0,
        metavar="N",
        help="same seed, same faces (default: %(default)s)",
    )

    summary = (
        "Serve a page on 127.0.0.1 where people vote which test faces are real and which are fake, and print how often "
        "fakes are called real."
    )
    survey = commands.add("survey", _survey, summary, "facemask survey v1 v2 drawing")
    methods_help = (
        "a model, such as v1 or promoted, a folder with checkpoint.json, or drawing, which needs no model "
        "(default: the promoted model, else drawing)"
    )
    survey.add_argument("checkpoints", nargs="*", metavar="CHECKPOINT", help=methods_help)
    count_help = "fakes of each model, half with a mask, half without (default: %(default)s)"
    survey.add_argument("--count", type=_number(1), default=60, metavar="N", help=count_help)
    seed_help = "same seed, same faces (default: %(default)s)"
    survey.add_argument("--seed", type=int, default=0, metavar="N", help=seed_help)
    results_help = "only print the result of all votes, and write it to data/survey.json"
    survey.add_argument("--results", action="store_true", help=results_help)
    add_port(survey, 4282)


def _models(options: argparse.Namespace) -> None:
    from flows.model_list import list_models, promote

    if options.promote:
        promote(options.promote)
    else:
        list_models()


def _survey(options: argparse.Namespace) -> None:
    from models.evaluation.survey import print_result, survey

    if options.results:
        print_result()
        return
    from flows.model_choice import checkpoint_or_drawing

    named = [None if name is None else Path(name) for name in options.checkpoints or [None]]
    survey([checkpoint_or_drawing(name) for name in named], options.count, options.seed, options.port)


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
