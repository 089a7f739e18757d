"""Stage `report`: reports/index.html, one self-contained page: what was kept, why the rest was not, and the model."""

import base64
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import jinja2
import pandas as pd
from PIL import Image
from pydantic import Field
from pydantic.dataclasses import dataclass as params_dataclass

from pipeline import params
from pipeline.archives import read_members
from pipeline.curate import MANIFEST, REPORTS, summary
from pipeline.errors import FacemaskError
from pipeline.face import FaceNumbers
from pipeline.files import read_or_empty, replacing
from pipeline.images import decode
from pipeline.manifest import DATA_LICENCE, read_manifest, to_frame
from pipeline.params import STRICT

_THUMB_PX = 112
_CAPTIONS = {
    "grid": "Test faces, never trained on. Left: plain, masked by the model, the mask taken off again. "
    "Right: masked, taken off by the model, put on again.",
    "progress": "The same faces through training: as they are (first row), then a row for each checkpoint. "
    "Left: a mask put on. Right: a mask taken off.",
}
_MEANINGS = {
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

ReadPicture = Callable[[str, str | None, str], bytes]
"""(source, archive, path) -> the file's content."""


@params_dataclass(frozen=True, config=STRICT)
class ReportParams:
    """params.yaml, block `report`."""

    pictures: Annotated[int, Field(ge=0, le=200)]


@dataclass(frozen=True)
class Group:
    """One verdict in one domain, with some of its pictures."""

    verdict: str
    domain: str
    count: int
    meaning: str
    pictures: list[dict[str, str]]


def report() -> None:
    """Write reports/index.html from the manifest, both reports and the archives."""
    settings = params.load("report", ReportParams)
    rows = to_frame(read_manifest(MANIFEST))
    page = write_page(REPORTS / "index.html", rows, archive_pictures(Path("data/raw")), settings, _training(REPORTS))
    print(f"report: {page}", flush=True)


def archive_pictures(raw: Path) -> ReadPicture:
    def read(source: str, archive: str | None, path: str) -> bytes:
        return next(read_members(raw / source / str(archive), [path]))

    return read


def folder_pictures(folders: dict[str, Path]) -> ReadPicture:
    return lambda source, _, path: read_or_empty(folders[source], path)


def write_page(
    page: Path, rows: pd.DataFrame, read: ReadPicture, settings: ReportParams, training: dict[str, Any] | None
) -> Path:
    """Write the page for a manifest's rows; `training` is what the model's part shows, None for curation alone."""
    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(
        Path(__file__).with_name("report.html").read_text(encoding="utf-8")
    )
    with replacing(page) as beside:
        beside.write_text(
            template.render(
                summary=summary(rows),
                sources=_sources(rows),
                claims=_claims(rows),
                groups=list(_groups(rows, read, settings.pictures)),
                meanings=_MEANINGS,
                training=training,
                licence=DATA_LICENCE,
                manifest=MANIFEST.name,
            ),
            encoding="utf-8",
        )
    return page


def _sources(rows: pd.DataFrame) -> list[dict[str, Any]]:
    table = rows.groupby(["source", "domain"], observed=True)["accepted"].agg(["size", "sum"]).reset_index()
    return [
        {"source": row.source, "domain": row.domain, "seen": row.size_, "accepted": int(row.sum_)}
        for row in table.rename(columns={"size": "size_", "sum": "sum_"}).itertuples()
    ]


def _claims(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """How often each claim of a file name held."""
    told = rows[rows["claimed"].notna() & rows["width"].notna()]
    return [
        {"claim": claim, "seen": len(part), "accepted": int(part["accepted"].sum())}
        for claim, part in told.groupby("claimed", observed=True)
    ]


def _groups(rows: pd.DataFrame, read: ReadPicture, pictures: int) -> Iterator[Group]:
    """Accepted first, then each reason in the rules' order; the pictures are spread evenly over the group."""
    verdicts = rows.assign(verdict=[list(r) or ["accepted"] for r in rows["reasons"]]).explode("verdict")
    for verdict, meaning in _MEANINGS.items():
        for domain in ("masked", "unmasked"):
            part = verdicts[(verdicts["verdict"] == verdict) & (verdicts["domain"] == domain)]
            if len(part):
                step = max(1, -(-len(part) // max(pictures, 1)))
                shown = part.iloc[::step].head(pictures)
                yield Group(
                    verdict,
                    domain,
                    len(part),
                    meaning,
                    [_picture(row, read) for row in shown.to_dict("records")],
                )


def _picture(row: dict[str, Any], read: ReadPicture) -> dict[str, str]:
    numbers = [
        f"{name} {row[name]:.2f}" if name.startswith("cover") else f"{name} {row[name]:.0f}"
        for name in FaceNumbers.__dataclass_fields__
        if pd.notna(row[name])
    ]
    told = [
        row["image_id"],
        f"{row['width']:.0f} x {row['height']:.0f} px" if pd.notna(row["width"]) else "unreadable",
    ]
    if row["dup_of"]:
        told.append(f"repeats {row['dup_of']} ({row['dup_distance']} bits)")
    archive = None if pd.isna(row["archive"]) else row["archive"]
    return {
        "title": " · ".join([*told, *numbers]),
        "name": row["path"],
        "image": _thumb(read(row["source"], archive, row["path"])),
    }


def _thumb(content: bytes) -> str:
    """A small JPEG as a data address; empty for an unreadable file."""
    picture = decode(content, _THUMB_PX)
    if picture is None:
        return ""
    picture.image.thumbnail((_THUMB_PX, _THUMB_PX), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.image.save(buffer, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _training(reports: Path) -> dict[str, Any]:
    path = reports / "evaluation.json"
    try:
        evaluation = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FacemaskError(f"{path} cannot be read: run 'dvc repro evaluate'") from error
    files = [*sorted((reports / "samples").glob("*.png")), reports / "training/progress.png"]
    pictures = [
        {
            "name": file.stem,
            "caption": _CAPTIONS.get(file.stem, ""),
            "image": "data:image/png;base64," + base64.b64encode(file.read_bytes()).decode(),
        }
        for file in files
        if file.exists()
    ]
    return {"evaluation": list(_flat(evaluation)), "pictures": pictures}


def _flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key} · ")
        else:
            yield (
                f"{prefix}{key}".replace("_", " "),
                f"{value:.3f}" if isinstance(value, float) else str(value),
            )
