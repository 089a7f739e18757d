"""Commands about images: fetch, curate, review, export-data."""

import argparse
from pathlib import Path

from flows.cli.command import Commands, add_port
from pipeline.errors import FacemaskError, choose_from
from pipeline.paths import Paths


def add_commands(commands: Commands) -> None:
    """Add these commands."""
    summary = "Fetch the sources of params.yaml; complete files are not fetched again."
    fetch = commands.add("fetch", _fetch, summary, "facemask fetch ffhq")
    fetch.add_argument("sources", nargs="*", metavar="SOURCE", help="only these sources (default: all)")
    fetch.add_argument("--verify", action="store_true", help="fetch nothing, but check every image that was fetched")

    summary = "Curate any folder of face images, without DVC: decide which are kept, and why others are dropped."
    example = "facemask curate ~/faces --out ~/curated --domain unmasked"
    curate = commands.add("curate", _curate, summary, example)
    curate.add_argument("folder", type=Path, metavar="FOLDER", help="the images; subfolders are searched")
    out_help = "folder for manifest.parquet and index.html"
    curate.add_argument("--out", type=Path, required=True, metavar="DIR", help=out_help)
    curate.add_argument(
        "--domain",
        choices=("masked", "unmasked"),
        help="what the faces should be; needed if the folder has neither FFHQ's nor MaskedFace-Net's layout",
    )
    params_help = "a params.yaml with other limits (default: facemask's own)"
    curate.add_argument("--params", type=Path, metavar="FILE", help=params_help)

    summary = "Serve the page of all images on 127.0.0.1; reviews (keep or drop) are saved in review.csv."
    review = commands.add("review", _review, summary, "facemask review\n  facemask review ~/curated")
    folder_help = "output folder of facemask curate (default: this project)"
    review.add_argument("folder", nargs="?", type=Path, metavar="DIR", help=folder_help)
    against_help = "another run to compare with: a folder that has index.html and index.data"
    review.add_argument("--against", type=Path, metavar="DIR", help=against_help)
    add_port(review, 4280)

    summary = "Write the accepted images in the formats of other training code."
    data = commands.add("export-data", _export_data, summary, "facemask export-data --format webdataset --out shards")
    data.add_argument(
        "--format",
        required=True,
        choices=("folders", "webdataset", "parquet", "stylegan"),
        help="CycleGAN's trainA and trainB, WebDataset's tars, Parquet for Hugging Face, StyleGAN's zip",
    )
    data.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new folder")


def _fetch(options: argparse.Namespace) -> None:
    from flows.stages import run_stage
    from pipeline.sources.config import load_sources
    from pipeline.sources.inbox import unused_inboxes
    from pipeline.sources.verify import verify, verify_local_files

    known = load_sources()
    for line in unused_inboxes(known, Paths()):
        print(f"facemask: {line}")
    for name in options.sources:
        if name not in known:
            raise FacemaskError(f"params.yaml names no source '{name}': {choose_from(name, known)}")
    for name in options.sources or known:
        if options.verify:
            verify(Paths().raw / name)
            verify_local_files(name, known[name], Paths())
        else:
            run_stage(f"fetch@{name}", Path.cwd(), print)
    print(f"facemask: {'whole' if options.verify else 'there'}: {', '.join(options.sources or known)}")


def _curate(options: argparse.Namespace) -> None:
    from pipeline.tools.curate_folder import curate_folder

    page = curate_folder(options.folder, options.out, options.domain, options.params)
    print(f"facemask: done; open {page.resolve()}")


def _review(options: argparse.Namespace) -> None:
    from pipeline.report.server import review

    review(options.folder, options.port, options.against)


def _export_data(options: argparse.Namespace) -> None:
    from pipeline.tools.export_data import export_data

    export_data(options.out, options.format)
