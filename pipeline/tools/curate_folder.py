"""`facemask curate`: curate any folder of images, without DVC: a manifest and a page."""

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import params
from pipeline.curation.face_patches import patch_array
from pipeline.curation.measure_params import MeasureParams
from pipeline.curation.reasons import apply_rules, passes_all_rules
from pipeline.curation.reviews import read_reviews
from pipeline.curation.rules import CurateParams
from pipeline.curation.summary import write_summary
from pipeline.curation.verdicts import MeasuredImages, join, manifest_rows
from pipeline.errors import FacemaskError
from pipeline.report.facts import PageContent
from pipeline.report.page import data_folder, new_sprite_sheets, write_page
from pipeline.report.sprite_sheets import SpriteSheets
from pipeline.sources.config import Domain
from pipeline.sources.folders import files_under, printable, require_utf8, why_no_file
from pipeline.sources.left_alone import describe_others, unread_archives
from pipeline.storage.files import locked, real_path, require_no_file
from pipeline.storage.images import SUFFIXES, is_image_name
from pipeline.storage.licences import data_licence, licence_metadata
from pipeline.storage.manifest import NUMBERS_SCHEMA, read_manifest, to_frame, write_manifest
from pipeline.tools.folder_layout import ImageFolder, find_sources
from pipeline.tools.measured_files import is_kept_folder, kept_folder, measured_tables

_PAGE_TITLE = b"<title>facemask: "  # in a page that facemask wrote


def curate_folder(folder: Path, out: Path, domain: Domain | None, params_file: Path | None) -> Path:
    """Curate `folder` into out/manifest.parquet and out/index.html; return the page's path.

    `domain` may be None for a folder in FFHQ's or MaskedFace-Net's layout, or one that contains such folders
    (folder_layout.py). Limits are those of `params_file`, by default the project's own params.yaml. Measurements are
    kept in out/index.measured/: a second run measures only new and changed files.

    Raises FacemaskError for a folder without images, for an `out` that has files of others or that another process
    writes to, and for a domain without accepted images. In this case an earlier result with accepted images is kept;
    otherwise all is written, and the page shows why.
    """
    if not folder.is_dir():
        wrong = f"{printable(str(folder))} is a file" if folder.is_file() else why_no_file(folder)
        raise FacemaskError(f"{wrong}: name a folder of images")
    require_utf8(real_path(folder))
    require_utf8(out)
    file = params_file or params.default_file()
    measuring = params.load("measure", MeasureParams, file)
    limits = params.load("curate", CurateParams, file)
    page = out / "index.html"
    sources = find_sources(folder, _list_images(folder, page), domain)
    require_no_file(out)
    out.mkdir(parents=True, exist_ok=True)
    with locked(out, f"another 'facemask curate' is writing to {out}: wait until it ends, or choose another --out"):
        _refuse_files_of_others(page)
        sheets = new_sprite_sheets(page)
        measured = _measure(sources, measuring, page, sheets)
        reviews = read_reviews(out / "review.csv")
        rows = manifest_rows(measured, limits, reviews)
        problem = _unfit_domain(rows, limits)
        if problem and _has_accepted(out / "manifest.parquet"):
            shutil.rmtree(sheets.folder)
            raise FacemaskError(f"{problem}; the earlier result is kept: {page}")
        write_manifest(rows, out / "manifest.parquet", licence_metadata(rows))
        write_summary(rows, out)
        folders = {source.name: source.folder for source in sources}
        write_page(page, sheets, PageContent(rows, limits, reviews, data_licence(rows), folders))
    if problem:
        raise FacemaskError(f"{problem}; {page} shows why")
    return page


def _unfit_domain(rows: pd.DataFrame, limits: CurateParams) -> str | None:
    """Why and of which domain no image is accepted, and whether the other domain fits; None if each has one.

    Where some are accepted, and more would be in the other domain, a line is printed.
    """
    for domain, part in rows.groupby("domain"):
        other = "unmasked" if domain == "masked" else "masked"
        fitting = sum(not reasons for reasons in apply_rules(part.assign(domain=other), limits))
        accepted = int(part["accepted"].sum())
        passing = int(passes_all_rules(part).sum())
        if accepted and fitting > passing:
            print(
                f"curate: as {domain} faces {passing:,} of {len(part):,} images pass all rules, as {other} ones "
                f"{fitting:,} would: is it --domain {other}?",
                flush=True,
            )
        if not accepted:
            reason, count = Counter(part["reasons"].explode()).most_common(1)[0]
            remedy = (
                f"as {other} ones {fitting:,} pass all rules: try --domain {other}"
                if fitting
                else f"change its limit in a copy of {params.default_file()}, and name that with --params"
            )
            return f"none of {len(part):,} images was accepted as {domain} (most often: {reason}, {count:,}): {remedy}"
    return None


def _has_accepted(manifest: Path) -> bool:
    """Whether an earlier run accepted an image."""
    try:
        return bool(np.any(read_manifest(manifest, ["accepted"]).column("accepted").to_numpy()))
    except FacemaskError:  # none, or that of another version
        return False


def _list_images(folder: Path, page: Path) -> list[str]:
    """Return the paths of the images in `folder`, and print how many there are. Raises FacemaskError if there are none.

    What facemask wrote there is left out: the folder of `page`, and the sprite sheets of all pages.
    """
    out, page_data = real_path(page.parent), real_path(data_folder(page))
    inside = out != real_path(folder) and out.is_relative_to(real_path(folder))
    own = [out] if inside else [page_data, real_path(kept_folder(page))]
    listed = list(files_under(folder))
    parents = {parent: real_path(parent) for parent in {on_disk.parent for _, on_disk in listed}}
    own += [resolved for resolved in parents.values() if _is_page_data(resolved)]
    skipped = {parent for parent, resolved in parents.items() if any(map(resolved.is_relative_to, own))}
    paths = [path for path, on_disk in listed if on_disk.parent not in skipped]
    images = [path for path in paths if is_image_name(path)]
    others = [path for path in paths if not is_image_name(path)]
    print(f"curate: {len(images):,} images in {folder}, {describe_others(others)}", flush=True)
    if archives := unread_archives(others):
        print(f"curate: {archives}", flush=True)
    if not images:
        raise FacemaskError(f"{folder} has no images ({', '.join(sorted(SUFFIXES))}): name a folder that has")
    return images


def _measure(sources: list[ImageFolder], measuring: MeasureParams, page: Path, sheets: SpriteSheets) -> MeasuredImages:
    """Measure all images and add their thumbnails to `sheets`; one row for each image."""
    parts = []
    for source, table in measured_tables(sources, measuring, kept_folder(page)):
        sheets.add(source.name, table)
        numbers = to_frame(table.select(NUMBERS_SCHEMA.names))
        numbers = numbers.assign(source=source.name, domain=source.domain, of_ffhq=False, kind="folder")
        parts.append(MeasuredImages(numbers, patch_array(table.column("face_patch"))))
    images = join(parts)
    return replace(images, numbers=images.numbers.assign(licence=None, author=None, url=None))


def _refuse_files_of_others(page: Path) -> None:
    """Raise FacemaskError if a file that would be replaced was not written by facemask."""
    manifest, data, kept = page.with_name("manifest.parquet"), data_folder(page), kept_folder(page)
    foreign = [
        path
        for path, is_ours in ((page, _is_page), (data, _is_page_data), (manifest, _is_manifest), (kept, is_kept_folder))
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
