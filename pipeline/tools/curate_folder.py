"""`facemask curate`: any folder of images, without DVC: a manifest and a page."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pipeline import params
from pipeline.curation.reviews import read_reviews
from pipeline.curation.rules import CurateParams
from pipeline.errors import FacemaskError
from pipeline.progress import Progress
from pipeline.report.facts import PageContent
from pipeline.report.page import new_sheets, write_page
from pipeline.sources.config import Domain, files_under
from pipeline.stages.curate import refuse_empty_domain, verdicts, write_summary
from pipeline.stages.measure import MeasureParams, measure_files, workers
from pipeline.storage.images import is_image_name
from pipeline.storage.manifest import NUMBERS_SCHEMA, to_frame, write_manifest

_AT_A_TIME = 1000  # images: of no more are landmarks and thumbnails held, five kilobytes each


@dataclass(frozen=True)
class FolderSource:
    name: str
    folder: Path
    domain: Domain


def curate_folder(folder: Path, out: Path, domain: Domain | None, params_file: Path | None) -> Path:
    """Curate `folder` into out/manifest.parquet and out/index.html; gives the page's path.

    Raises FacemaskError for a folder without images, and after all is written, where a domain is left empty.

    A folder in FFHQ's or MaskedFace-Net's layout, or one that holds such folders, is known by itself; any other needs
    `domain`. Limits are those of `params_file`, by default the project's own params.yaml.
    """
    if not folder.is_dir():
        raise FacemaskError(f"{folder} is no folder: name one that holds images")
    file = params_file or Path(__file__).parents[2] / "params.yaml"
    measuring = params.load("measure", MeasureParams, file)
    limits = params.load("curate", CurateParams, file)

    sources = find_sources(folder, domain)
    listed = {source.name: [path for path, _ in files_under(source.folder)] for source in sources}
    total = sum(is_image_name(path) for paths in listed.values() for path in paths)
    others = sum(map(len, listed.values())) - total
    print(f"curate: {total:,} images in {folder}, {others:,} other files left alone", flush=True)
    if not total:
        raise FacemaskError(f"{folder} holds no images (png, jpg, webp, bmp, tiff): name a folder that does")

    page = out / "index.html"
    progress, tables, sheets = Progress("measure", total), [], new_sheets(page)
    with workers(measuring) as processes:
        for source in sources:
            paths = [path for path in listed[source.name] if is_image_name(path)]
            for start in range(0, len(paths), _AT_A_TIME):
                some = paths[start : start + _AT_A_TIME]
                table = measure_files(processes, source.folder, some, progress)
                sheets.add(source.name, table)
                numbers = to_frame(table.select(NUMBERS_SCHEMA.names))
                tables.append(numbers.assign(source=source.name, domain=source.domain))
    images = pd.concat(tables, ignore_index=True).assign(licence=None, author=None, url=None)
    reviews = read_reviews(out / "review.csv")
    rows = verdicts(images, limits, reviews)
    write_manifest(rows, out / "manifest.parquet")
    write_summary(rows, out)
    folders = {source.name: source.folder for source in sources}
    write_page(page, sheets, PageContent(rows, limits, reviews, folders))
    refuse_empty_domain(rows)  # at the end: the page shows why
    return page


def find_sources(folder: Path, domain: Domain | None) -> list[FolderSource]:
    """What `folder` holds: one source if `domain` is given, else as its layout tells."""
    if domain is not None:
        return [FolderSource(folder.resolve().name, folder, domain)]
    inner = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if found := layout(folder):
        return [FolderSource(folder.resolve().name, folder, found)]
    sources = [FolderSource(path.name, path, found) for path in inner if (found := layout(path))]
    if not sources:
        raise FacemaskError(
            f"{folder} is laid out neither as FFHQ (00000/00000.png) nor as MaskedFace-Net (CMFD, IMFD): "
            "say what it holds with --domain masked or --domain unmasked"
        )
    return sources


def layout(folder: Path) -> Domain | None:
    """masked for MaskedFace-Net's layout, unmasked for FFHQ's, None for another."""
    names = {path.name for path in folder.iterdir() if path.is_dir()}
    if names & {"CMFD", "IMFD"}:
        return "masked"
    if any(len(name) == 5 and name.isdigit() for name in names):
        return "unmasked"
    return None
