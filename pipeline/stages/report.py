"""Stage `report`: reports/index.html, a page on which to see what was kept, why the rest was not, and the model."""

import base64
import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import params
from pipeline.curation.reviews import REVIEW, read_reviews
from pipeline.curation.rules import CurateParams
from pipeline.errors import FacemaskError
from pipeline.report.facts import Figure, PageContent, Training
from pipeline.report.page import new_sheets, write_page
from pipeline.stages.curate import MANIFEST, REPORTS
from pipeline.storage.manifest import read_manifest, to_frame

_SEEN_BY_PAGE = ["path", "thumb", "landmarks"]
_CAPTIONS = {
    "grid": "Test faces, never trained on. Left: plain, masked by the model, the mask taken off again. "
    "Right: masked, taken off by the model, put on again.",
    "progress": "The same faces through training: as they are (first row), then a row for each checkpoint. "
    "Left: a mask put on. Right: a mask taken off.",
}
_STUDY_FID = {"mask": 17.07, "unmask": 48.39}
_POINTS = 300  # of a training curve: more cannot be told apart


def report() -> None:
    """Write reports/index.html, and its pictures beside it, from the manifest, the measured tables and both reports."""
    limits = params.load("curate", CurateParams)
    rows = to_frame(read_manifest(MANIFEST))
    training = _training(REPORTS)
    page = REPORTS / "index.html"
    sheets = new_sheets(page)
    for source, archives in rows.groupby("source", observed=True, sort=True)["archive"]:
        for archive in sorted(archives.dropna().unique()):
            sheets.add(str(source), _measured(str(source), str(archive)))
    write_page(page, sheets, PageContent(rows, limits, read_reviews(REVIEW), training=training))
    print(f"report: {page}", flush=True)


def _measured(source: str, archive: str) -> pa.Table:
    path = (Path("data/measured") / source / archive).with_suffix(".parquet")
    try:
        return pq.read_table(path, columns=_SEEN_BY_PAGE)
    except (OSError, pa.ArrowException) as error:
        raise FacemaskError(f"{path} cannot be read: run 'dvc repro measure@{source}'") from error


def _training(reports: Path) -> Training:
    """The evaluation, losses and sample pictures of the trained model. Raises FacemaskError without an evaluation."""
    path = reports / "evaluation.json"
    try:
        evaluation = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FacemaskError(f"{path} cannot be read: run 'dvc repro evaluate'") from error
    files = [*sorted((reports / "samples").glob("*.png")), reports / "training/progress.png"]
    pictures: list[Figure] = [
        {
            "caption": _CAPTIONS.get(file.stem, ""),
            "name": file.stem,
            "image": "data:image/png;base64," + base64.b64encode(file.read_bytes()).decode(),
        }
        for file in files
        if file.exists()
    ]
    directions = [name for name, values in evaluation.items() if isinstance(values, dict)]
    facts = (f"{name.replace('_', ' ')}: {value}" for name, value in evaluation.items() if name not in directions)
    return {
        "directions": directions,
        "evaluation": list(_table(evaluation, directions)),
        "facts": " · ".join(facts),
        "losses": {file.stem: _curve(file) for file in sorted((reports / "training/plots/metrics").glob("*.tsv"))},
        "pictures": pictures,
    }


def _table(evaluation: dict[str, Any], directions: list[str]) -> Iterator[tuple[str, list[str]]]:
    """A row for each figure, and the original study's beside ours."""
    names = list(dict.fromkeys(name for direction in directions for name in evaluation[direction]))
    for name in names:
        yield name.replace("_", " "), [_told(evaluation[direction].get(name)) for direction in directions]
        if name == "fid":
            yield "fid of the original study (Inception features)", [_told(_STUDY_FID.get(name)) for name in directions]


def _told(value: Any) -> str:
    return "" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)


def _curve(file: Path) -> list[list[float]]:
    """A training curve as DVCLive writes it, thinned out: [images seen, value]."""
    with file.open(encoding="utf-8", newline="") as lines:
        points = [[float(value) for value in row] for row in list(csv.reader(lines, delimiter="\t"))[1:]]
    step = max(1, -(-len(points) // _POINTS))
    return points[::step]
