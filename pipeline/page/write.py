"""The page whole: index.html with style and script inside, and index.data/ beside it."""

import json
import os
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from pipeline.curate import summary
from pipeline.files import digest_of, replace_folder, replacing
from pipeline.manifest import DATA_LICENCE, LANDMARK_SCALE, REASONS
from pipeline.page.columns import PER_CHUNK, write_columns
from pipeline.page.limits import told
from pipeline.page.sheets import COLUMNS, Sheets, region_places
from pipeline.review import Entry
from pipeline.rules import CurateParams
from pipeline.thumbs import THUMB_PX

_HERE = Path(__file__).parent
MEANINGS = {
    "accepted": "Kept, and trained on.",
    "unreadable": "Truncated, or no image at all.",
    "too_small": "The image or its face has too few pixels.",
    "no_face": "The landmarker found no face.",
    "many_faces": "More than one face of some size.",
    "turned_away": "The head is turned, bent or tilted too far.",
    "blurred": "The face is not sharp.",
    "no_mask": "Nose, mouth and chin are all bare.",
    "nose_uncovered": "The nose looks out.",
    "mouth_uncovered": "The mouth looks out.",
    "chin_uncovered": "The chin looks out.",
    "eyes_covered": "The mask lies over the eyes.",
    "mask_misplaced": "The mask is pushed aside.",
    "face_covered": "Something covers a face that should be plain.",
    "duplicate": "Nearly the same picture as one that was kept.",
    "licence": "Its licence is not to be used.",
    "dropped_in_review": "A person said so.",
}

_PLACEMENT = frozenset(
    ("no_mask", "nose_uncovered", "mouth_uncovered", "chin_uncovered", "eyes_covered", "mask_misplaced", "face_covered")
)
"""Reasons that speak of how a mask is worn."""


def data_folder(page: Path) -> Path:
    """Where a page's sheets and scripts lie."""
    return page.with_suffix(".data")


def new_sheets(page: Path) -> Sheets:
    """Sheets to be filled before the page is written; what an earlier, killed run left there goes."""
    made = _beside(page)
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(parents=True)
    return Sheets(made)


def write_page(
    page: Path,
    rows: pd.DataFrame,
    sheets: Sheets,
    limits: CurateParams,
    reviews: dict[str, Entry],
    *,
    folders: dict[str, Path],
    training: dict[str, Any] | None,
) -> Path:
    """Write the page of a manifest's rows, whose thumbnails are in `sheets` of new_sheets(page).

    `folders` names for a source that is a plain folder where its pictures lie, which the page then shows at full size;
    `training` is what the model's part shows, None for curation alone.
    """
    sheets.close()
    write_columns(sheets.folder, rows, sheets)
    facts = {
        "count": len(rows),
        "content": digest_of(sheets.image_ids),
        "reasons": REASONS,
        "meanings": MEANINGS,
        "limits": told(limits),
        "trace": limits.min_cover_trace,
        "thumb": {"px": THUMB_PX, "columns": COLUMNS},
        "perChunk": PER_CHUNK,
        "regions": region_places(),
        "landmarkScale": LANDMARK_SCALE,
        "reviews": {image_id: asdict(entry) for image_id, entry in reviews.items()},
        "folders": {name: _relative(folder, page.parent) for name, folder in folders.items()},
        "losses": training["losses"] if training else {},
    }
    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(_read("page.html"))
    with replacing(page) as beside:
        beside.write_text(
            template.render(
                style=_read("page.css"),
                script=_read("page.js"),
                facts=json.dumps(facts, ensure_ascii=False).replace("<", "\\u003c"),  # no tag ends a script early
                summary=summary(rows),
                verdicts=_verdicts(rows),
                sources=_sources(rows),
                claims=_claims(rows),
                training=training,
                licence=DATA_LICENCE,
            ),
            encoding="utf-8",
        )
        # The data first: a page never stands beside older data for longer than a rename takes.
        replace_folder(sheets.folder, data_folder(page))
    return page


def _beside(page: Path) -> Path:
    return page.with_name(f".{page.stem}.data.new")


def _read(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _relative(folder: Path, start: Path) -> str:
    return Path(os.path.relpath(folder.resolve(), start.resolve())).as_posix()


def _verdicts(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Accepted first, then each reason in the rules' order, by domain."""
    verdicts = rows.assign(verdict=[list(reasons) or ["accepted"] for reasons in rows["reasons"]]).explode("verdict")
    counts = verdicts.groupby(["verdict", "domain"], observed=True).size()
    return [
        {"verdict": verdict, "domain": domain, "count": int(counts[verdict, domain]), "meaning": meaning}
        for verdict, meaning in MEANINGS.items()
        for domain in ("masked", "unmasked")
        if (verdict, domain) in counts.index
    ]


def _sources(rows: pd.DataFrame) -> list[dict[str, Any]]:
    table = rows.groupby(["source", "domain"], observed=True)["accepted"].agg(["size", "sum"])
    return [
        {"source": source, "domain": domain, "seen": int(seen), "accepted": int(accepted)}
        for (source, domain), (seen, accepted) in zip(table.index, table.to_numpy(), strict=True)
    ]


def _claims(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """What file names claim, what was kept, and how often a claim was wrong: a mask, or none, was seen otherwise."""
    known = rows[rows["claimed"].notna() & rows["width"].notna()]
    told = []
    for claim, part in known.groupby("claimed", observed=True):
        if claim in ("correct", "plain"):
            wrong = part["reasons"].map(lambda reasons: not _PLACEMENT.isdisjoint(reasons))
        else:  # of a mask that is worn wrongly
            wrong = part["accepted"] | part["reasons"].map(lambda reasons: "duplicate" in reasons)
        told.append(
            {"claim": claim, "seen": len(part), "accepted": int(part["accepted"].sum()), "wrong": int(wrong.sum())}
        )
    return told
