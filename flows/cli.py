"""The `facemask` command. Nothing heavy is imported before it is known what to do."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline.errors import FacemaskError, run

Command = Callable[[argparse.Namespace], None]


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser().parse_args(arguments)
    command: Command = options.command
    run(lambda: command(options))


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="facemask",
        description="From raw faces to a model that puts a mask on any face, and takes it off again.",
    )
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def add(name: str, command: Command, summary: str, example: str) -> argparse.ArgumentParser:
        added = commands.add_parser(
            name,
            help=summary,
            description=summary,
            epilog=f"example:\n  {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        added.set_defaults(command=command)
        return added

    up = add("up", _up, "Start Prefect on 127.0.0.1 and serve this folder's deployments, until Ctrl-C.", "facemask up")
    up.add_argument("--port", type=_port, default=4200, help="port of server and UI (default: %(default)s)")

    add(
        "status",
        _status,
        "Show what runs in this folder, its last runs, its schedule, and what to do next. Exit status 1: it is not up.",
        "facemask status",
    )
    add("down", _down, "Stop this folder's 'facemask up' and all that runs under it.", "facemask down")

    models = add(
        "models",
        _models,
        "List the models that were trained here, with their figures and their data; * is the promoted one.",
        "facemask models --promote v1",
    )
    models.add_argument("--promote", metavar="NAME", help="make this one the promoted model; an older one: a rollback")

    here = add(
        "run",
        _run,
        "Run the flow curate-and-train in this folder, here and now, without a running server.",
        "facemask run curate pack",
    )
    here.add_argument(
        "stages", nargs="*", metavar="STAGE", help="only these stages of dvc.yaml, as train or measure@ffhq"
    )

    fetch = add(
        "fetch",
        _fetch,
        "Bring the sources of params.yaml here; what is there already is not fetched again.",
        "facemask fetch ffhq",
    )
    fetch.add_argument("sources", nargs="*", metavar="SOURCE", help="only these sources (default: all)")
    fetch.add_argument("--verify", action="store_true", help="fetch nothing: check every image that lies there")

    curate = add(
        "curate",
        _curate,
        "Curate any folder of face images, without DVC: which are kept, which are dropped and why.",
        "facemask curate ~/faces --out ~/curated --domain unmasked",
    )
    curate.add_argument("folder", type=Path, metavar="FOLDER", help="the images; subfolders are searched")
    curate.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="where manifest.parquet and index.html go"
    )
    curate.add_argument(
        "--domain",
        choices=("masked", "unmasked"),
        help="what the faces should be, where the folder has neither FFHQ's nor MaskedFace-Net's layout",
    )
    curate.add_argument(
        "--params", type=Path, metavar="FILE", help="a params.yaml with other thresholds (default: the project's)"
    )
    review = add(
        "review",
        _review,
        "Serve the page of what was kept on 127.0.0.1: choices to keep or drop go straight into review.csv.",
        "facemask review\n  facemask review ~/curated",
    )
    review.add_argument(
        "folder",
        nargs="?",
        type=Path,
        metavar="DIR",
        help="of facemask curate --out DIR (default: this project)",
    )
    review.add_argument("--port", type=_port, default=4280, help="port of the page (default: %(default)s)")

    apply = add(
        "apply",
        _apply,
        "Put a mask on every face of photos, of any size and number, or take it off; all else stays the same pixels.",
        "facemask apply checkpoints ~/photos --out ~/masked\n  facemask apply --check ~/masked/anna.png",
    )
    apply.add_argument("checkpoint", nargs="?", type=Path, metavar="CHECKPOINT", help="as checkpoints or registry/v1")
    apply.add_argument("images", nargs="*", type=Path, metavar="IMAGE|FOLDER", help="photos, and folders of photos")
    apply.add_argument("--out", type=Path, metavar="DIR", help="where the PNG files go; needed, save with --check")
    apply.add_argument("--unmask", action="store_true", help="take masks off instead")
    apply.add_argument("--side-by-side", action="store_true", help="write each photo and what became of it as one")
    apply.add_argument(
        "--check",
        nargs="+",
        type=Path,
        metavar="PICTURE",
        help="only say whether these are marked as synthetic, by what",
    )
    page = add(
        "app",
        _app,
        "Serve a page on 127.0.0.1 where a photo is dropped and seen masked, or with its mask taken off.",
        "facemask app checkpoints",
    )
    page.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="as checkpoints or registry/v1")
    page.add_argument("--port", type=_port, default=4281, help="port of the page (default: %(default)s)")

    data = add(
        "export-data",
        _export_data,
        "Write the accepted images as others' training code reads them.",
        "facemask export-data --format webdataset --out shards",
    )
    data.add_argument(
        "--format",
        required=True,
        choices=("folders", "webdataset", "parquet", "stylegan"),
        help="CycleGAN's trainA and trainB, WebDataset's tars, Parquet for Hugging Face, StyleGAN's zip",
    )
    data.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new folder")

    export = add(
        "export",
        _export,
        "Write a generator as ONNX, checked against PyTorch, and its model card as README.md beside it.",
        "facemask export checkpoints exports/mask/mask.onnx",
    )
    export.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="as checkpoints or registry/v1")
    export.add_argument("out", type=Path, metavar="OUT.onnx", help="the file to write, in a folder of its own")
    export.add_argument("--unmask", action="store_true", help="the generator that takes masks off")
    return top


def _port(text: str) -> int:
    port = int(text)
    if not 1 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{port} is no port: take one of 1 to 65535")
    return port


def _up(options: argparse.Namespace) -> None:
    from flows.local_server.up import up

    up(options.port)


def _status(_options: argparse.Namespace) -> None:
    from flows.local_server.status import status

    status()


def _down(_options: argparse.Namespace) -> None:
    from flows.local_server.down import down

    down()


def _models(options: argparse.Namespace) -> None:
    from flows.model_list import list_models, promote

    if options.promote:
        promote(options.promote)
    else:
        list_models()


def _run(options: argparse.Namespace) -> None:
    from flows.local_server.run import run_here

    run_here(options.stages or None)


def _fetch(options: argparse.Namespace) -> None:
    from pipeline.sources.config import load_sources
    from pipeline.sources.verify import verify

    known = load_sources()
    for name in options.sources or known:
        if name not in known:
            raise FacemaskError(f"params.yaml names no source '{name}': it has {', '.join(known)}")
    for name in options.sources or known:
        if options.verify:
            verify(Path("data/raw") / name)
        else:
            from flows.stages import run_stage

            run_stage(f"fetch@{name}", Path.cwd(), print)
    print(f"facemask: {'whole' if options.verify else 'there'}: {', '.join(options.sources or known)}")


def _review(options: argparse.Namespace) -> None:
    from pipeline.report.server import review

    review(options.folder, options.port)


def _apply(options: argparse.Namespace) -> None:
    from models.inference.apply import apply, check

    if options.check:
        check(options.check)
    elif not (options.checkpoint and options.images and options.out):
        raise FacemaskError("name what to use, and where it goes: facemask apply CHECKPOINT IMAGE|FOLDER... --out DIR")
    else:
        apply(options.checkpoint, options.images, options.out, unmask=options.unmask, side_by_side=options.side_by_side)


def _app(options: argparse.Namespace) -> None:
    from models.inference.app import app

    app(options.checkpoint, options.port)


def _export_data(options: argparse.Namespace) -> None:
    from pipeline.tools.export_data import export_data

    export_data(options.out, options.format)


def _export(options: argparse.Namespace) -> None:
    from models.export.onnx_export import export

    export(options.checkpoint, options.out, "unmask" if options.unmask else "mask")


def _curate(options: argparse.Namespace) -> None:
    from pipeline.tools.curate_folder import curate_folder

    page = curate_folder(options.folder, options.out, options.domain, options.params)
    print(f"facemask: done; open {page.resolve()}")


if __name__ == "__main__":
    main()
