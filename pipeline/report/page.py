"""Writes the page: index.html, which contains style and script, and the folder index.data with thumbnails and data."""

import datetime
import json
import os
import re
import shutil
from dataclasses import asdict
from pathlib import Path

import jinja2
import pandas as pd

from pipeline.curation.reasons import REASON_NAMES
from pipeline.curation.reviews import MAX_NOTE
from pipeline.curation.summary import summarize
from pipeline.faces.landmarks import LANDMARK_SCALE
from pipeline.report.columns import PER_CHUNK, write_columns
from pipeline.report.facts import PageContent, PageFacts
from pipeline.report.groups import group_tables
from pipeline.report.limits import limit_facts
from pipeline.report.run_data import write_run
from pipeline.report.similar_faces import write_similar
from pipeline.report.sprite_sheets import COLUMNS, SpriteSheets, region_places
from pipeline.report.tables import EXPECTED, MEANINGS, claim_rows, source_rows, verdict_rows
from pipeline.storage.files import digest_of, replace_folder, replacing
from pipeline.storage.thumbnails import THUMB_PX

_HERE = Path(__file__).parent
_SPLITS = ("train", "val", "test")
_MAX_SOURCES = 4  # named in the title
_SCRIPTS = (
    "facts", "data", "names", "rules", "reviews", "groups", "filters", "thumbnails", "panel", "gallery", "zoom",
    "layers", "measures", "similar", "compare", "large_view", "map", "charts", "confusion", "address", "start",
)  # fmt: skip
"""The ES modules of script/: each imports only from those before it."""


def data_folder(page: Path) -> Path:
    """The folder of a page's sprite sheets and data scripts."""
    return page.with_suffix(".data")


def new_sprite_sheets(page: Path) -> SpriteSheets:
    """Empty sprite sheets for a new page; removes those that an interrupted run left."""
    folder = page.with_name(f".{page.stem}.data.new")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return SpriteSheets(folder)


def write_page(page: Path, sheets: SpriteSheets, content: PageContent) -> Path:
    """Write the page, and return its path. `sheets`: new_sprite_sheets(page) with the thumbnails of content.rows."""
    sheets.close()
    rows = content.rows.set_index("image_id", drop=False).loc[sheets.image_ids].reset_index(drop=True)
    today = datetime.datetime.now(datetime.UTC).date()
    made = f"{today.day} {today:%B %Y}"
    write_columns(sheets.folder, rows, sheets)
    write_run(sheets.folder, rows, content.limits, made)
    write_similar(sheets.folder, rows)
    facts = json.dumps(_facts(page, sheets, content), ensure_ascii=False)
    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(_read("page.html"))
    text = template.render(
        style=_read("page.css"),
        script=script(),
        facts=facts.replace("<", "\\u003c"),  # so that no file name can end the script element
        heading=_heading(rows),
        made=made,
        summary=summarize(rows),
        splits=[split for split in _SPLITS if (rows["split"] == split).any()],
        verdicts=verdict_rows(rows),
        sources=source_rows(rows),
        claims=claim_rows(rows),
        groups=group_tables(rows),
        training=content.training,
        licence=content.licence,
    )
    with replacing(page) as beside:
        beside.write_text(text, encoding="utf-8")
        # The data first: a page is next to older data for no longer than a rename takes.
        replace_folder(sheets.folder, data_folder(page))
    return page


def _heading(rows: pd.DataFrame) -> str:
    """The names of the data sets; of many, the first ones and how many more."""
    names = sorted(rows["source"].astype(str).unique())
    more = len(names) - _MAX_SOURCES
    return ", ".join(names[:_MAX_SOURCES]) + (f" and {more} more" if more > 0 else "")


def script() -> str:
    """The modules of script/ as one script: a browser loads no modules from disk (file://)."""
    text = "\n".join(_read(f"script/{name}.js") for name in _SCRIPTS)
    return re.sub(r"^(import\b[^;]*;\n|export )", "", text, flags=re.MULTILINE)


def _facts(page: Path, sheets: SpriteSheets, content: PageContent) -> PageFacts:
    return {
        "count": len(content.rows),
        "content": digest_of(sheets.image_ids),
        "reasons": REASON_NAMES,
        "meanings": MEANINGS,
        "limits": limit_facts(content.limits),
        "minCoverWorn": content.limits.min_cover_worn,
        "thumbnail": {"px": THUMB_PX, "columns": COLUMNS},
        "imagesPerChunk": PER_CHUNK,
        "regions": region_places(),
        "landmarkScale": LANDMARK_SCALE,
        "minSimilarity": content.limits.dedup.min_similarity,
        "reviews": {image_id: asdict(entry) for image_id, entry in content.reviews.items()},
        "maxNote": MAX_NOTE,
        "folders": {name: _relative(folder, page.parent) for name, folder in content.folders.items()},
        "expected": EXPECTED,
        "losses": content.training["losses"] if content.training else {},
    }


def _read(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _relative(folder: Path, start: Path) -> str:
    return Path(os.path.relpath(folder.resolve(), start.resolve())).as_posix()
