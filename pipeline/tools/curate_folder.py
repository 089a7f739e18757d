"""`facemask curate`: curate any folder of images, without DVC: a manifest and a page."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline import params
from pipeline.curation.face_patches import patch_array
from pipeline.curation.measure_params import MeasureParams
from pipeline.curation.measuring import measure_files, open_workers
from pipeline.curation.reviews import read_reviews
from pipeline.curation.rules import CurateParams
from pipeline.curation.summary import write_summary
from pipeline.curation.verdicts import MeasuredImages, manifest_rows, refuse_empty_domain
from pipeline.errors import FacemaskError
from pipeline.progress import Progress
from pipeline.report.facts import PageContent
from pipeline.report.page import data_folder, new_sprite_sheets, write_page
from pipeline.report.sprite_sheets import SpriteSheets
from pipeline.sources.config import Domain
from pipeline.sources.folders import files_under, printable, require_utf8
from pipeline.sources.left_alone import describe_others, unread_archives
from pipeline.storage.files import locked
from pipeline.storage.images import is_image_name
from pipeline.storage.licences import data_licence, licence_metadata
from pipeline.storage.manifest import NUMBERS_SCHEMA, to_frame, write_manifest
from pipeline.tools.folder_layout import ImageFolder, find_sources

_PIECE = 1000  # images measured at a time: landmarks and thumbnails in memory take five kilobytes each
_PAGE_TITLE = b"<title>facemask: "  # in a page that facemask wrote


def curate_folder(folder: Path, out: Path, domain: Domain | None, params_file: Path | None) -> Path:
    """Curate `folder` into out/manifest.parquet and out/index.html; return the page's path.

    `domain` may be None for a folder in FFHQ's or MaskedFace-Net's layout, or one that contains such folders
    (folder_layout.py). Limits are those of `params_file`, by default the project's own params.yaml.

    Raises FacemaskError for a folder without images, for an `out` that has files of others or that another process
    writes to, and, after everything is written, for a domain without accepted images.
    """
    if not folder.is_dir():
        raise FacemaskError(f"{printable(str(folder))} is not a folder: name a folder of images")
    require_utf8(folder.resolve())
    require_utf8(out)
    file = params_file or Path(__file__).parents[2] / "params.yaml"
    measuring = params.load("measure", MeasureParams, file)
    limits = params.load("curate", CurateParams, file)
    page = out / "index.html"
    sources = find_sources(folder, _list_images(folder, page), domain)
    if out.exists() and not out.is_dir():
        raise FacemaskError(f"{out} is not a folder: choose another --out")
    out.mkdir(parents=True, exist_ok=True)
    with locked(out, f"another 'facemask curate' is writing to {out}: wait until it ends, or choose another --out"):
        _refuse_files_of_others(page)
        sheets = new_sprite_sheets(page)
        measured = _measure(sources, measuring, sheets)
        reviews = read_reviews(out / "review.csv")
        rows = manifest_rows(measured, limits, reviews)
        write_manifest(rows, out / "manifest.parquet", licence_metadata(rows))
        write_summary(rows, out)
        folders = {source.name: source.folder for source in sources}
        write_page(page, sheets, PageContent(rows, limits, reviews, data_licence(rows), folders))
    refuse_empty_domain(rows)  # last: the page shows why
    return page


def _list_images(folder: Path, page: Path) -> list[str]:
    """Return the paths of the images in `folder`, and print how many there are. Raises FacemaskError if there are none.

    What facemask wrote there is left out: the folder of `page`, and the sprite sheets of all pages.
    """
    out, page_data = page.parent.resolve(), data_folder(page).resolve()
    own = [out if out != folder.resolve() and out.is_relative_to(folder.resolve()) else page_data]
    listed = list(files_under(folder))
    parents = {parent: parent.resolve() for parent in {on_disk.parent for _, on_disk in listed}}
    own += [resolved for resolved in parents.values() if _is_page_data(resolved)]
    skipped = {parent for parent, resolved in parents.items() if any(map(resolved.is_relative_to, own))}
    paths = [path for path, on_disk in listed if on_disk.parent not in skipped]
    images = [path for path in paths if is_image_name(path)]
    others = [path for path in paths if not is_image_name(path)]
    print(f"curate: {len(images):,} images in {folder}, {describe_others(others)}", flush=True)
    if archives := unread_archives(others):
        print(f"curate: {archives}", flush=True)
    if not images:
        raise FacemaskError(f"{folder} has no images (png, jpg, webp, bmp, tiff): name a folder that has")
    return images


def _measure(sources: list[ImageFolder], measuring: MeasureParams, sheets: SpriteSheets) -> MeasuredImages:
    """Measure all images and add their thumbnails to `sheets`; one row for each image."""
    patches: list[NDArray[np.uint8]] = []
    progress, tables = Progress("measure", sum(len(source.images) for source in sources)), []
    with open_workers(measuring) as workers:
        for source in sources:
            for start in range(0, len(source.images), _PIECE):
                table = measure_files(workers, source.folder, source.images[start : start + _PIECE], progress)
                sheets.add(source.name, table)
                patches.append(patch_array(table.column("face_patch")))
                numbers = to_frame(table.select(NUMBERS_SCHEMA.names))
                tables.append(numbers.assign(source=source.name, domain=source.domain, of_ffhq=False, kind="folder"))
    numbers = pd.concat(tables, ignore_index=True).assign(licence=None, author=None, url=None)
    return MeasuredImages(numbers, np.concatenate(patches))


def _refuse_files_of_others(page: Path) -> None:
    """Raise FacemaskError if a file that would be replaced was not written by facemask."""
    manifest, data = page.with_name("manifest.parquet"), data_folder(page)
    foreign = [
        path
        for path, is_ours in ((page, _is_page), (data, _is_page_data), (manifest, _is_manifest))
        if path.exists() and not is_ours(path)
    ]
    if foreign:
        raise FacemaskError(f"{foreign[0]} already exists and was not created by facemask: choose another --out")


def _is_page(path: Path) -> bool:
    return path.is_file() and _PAGE_TITLE in path.read_bytes()[:1000]


def _is_page_data(path: Path) -> bool:
    return (path / "ids.json").is_file()


def _is_manifest(path: Path) -> bool:
    try:
        return b"facemask_schema" in (pq.read_schema(path).metadata or {})
    except (OSError, pa.ArrowInvalid):
        return False
