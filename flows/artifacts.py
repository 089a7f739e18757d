"""What a run shows in Prefect's UI, made from the files that the stages wrote."""

import base64
import csv
import io
import json
from pathlib import Path
from typing import Any

from prefect.artifacts import create_image_artifact, create_table_artifact

from models import registry
from models.registry import REGISTRY, Model

CURATION_JSON = Path("reports/curation.json")
CURVES = Path("reports/training/plots/metrics")
PROGRESS_PNG = Path("reports/training/progress.png")
SAMPLES_PNG = Path("reports/samples/grid.png")
CURVE_ROWS = 10  # of the table of losses; all points are in the files, for `dvc plots show`
MAX_IMAGE_BYTES = 360_000  # 480 kB as base64, the form in which Prefect's database holds it


def show_rejections(workspace: Path) -> None:
    """Artifact `rejections`: how many images were dropped for each reason."""
    path = workspace / CURATION_JSON
    if not path.is_file():
        return
    report = json.loads(path.read_text(encoding="utf-8"))
    create_table_artifact(key="rejections", table=rejection_rows(report), description=rejection_summary(report))


def rejection_rows(report: dict[str, Any]) -> list[dict[str, Any]]:
    """One row a reason, the most frequent first; a rejected image may have several reasons."""
    seen = report["seen"]
    return [
        {"reason": reason, "images": count, "share of seen": f"{count / seen:.1%}" if seen else "-"}
        for reason, count in sorted(report["reasons"].items(), key=lambda item: (-item[1], item[0]))
    ]


def rejection_summary(report: dict[str, Any]) -> str:
    domains = "; ".join(f"{domain}: {of['accepted']:,} of {of['seen']:,}" for domain, of in report["domains"].items())
    return (
        f"**{report['accepted']:,} of {report['seen']:,} images accepted, {report['rejected']:,} rejected** "
        f"({domains}). Each image's reasons: `pandas.read_parquet('data/manifest.parquet')`"
    )


def show_training(workspace: Path) -> None:
    """Artifacts `losses`, how each went down, and `training`: the same faces as training went on."""
    rows = loss_rows(workspace / CURVES)
    if rows:
        create_table_artifact(
            key="losses", table=rows, description="The losses while it trained; `dvc plots show` draws them."
        )
    if (workspace / PROGRESS_PNG).is_file():
        create_image_artifact(
            key="training",
            image_url=data_uri(workspace / PROGRESS_PNG),
            description="The same faces, as training went on.",
        )


def loss_rows(curves: Path) -> list[dict[str, Any]]:
    """A row for each of some points of the curves, the first and the last among them: images seen, and each loss."""
    columns: dict[str, dict[int, float]] = {}
    for path in sorted(curves.glob("*.tsv")):
        with path.open(encoding="utf-8", newline="") as file:
            columns[path.stem] = {
                int(row["step"]): float(row[path.stem]) for row in csv.DictReader(file, delimiter="\t")
            }
    steps = sorted(set().union(*columns.values()))
    count = min(CURVE_ROWS, len(steps))
    chosen = sorted({steps[round(place * (len(steps) - 1) / max(1, count - 1))] for place in range(count)})
    return [
        {"images": step} | {name: float(f"{curve[step]:.3g}") for name, curve in columns.items() if step in curve}
        for step in chosen
    ]


def show_models(workspace: Path) -> None:
    """Artifact `evaluation`: the newest model's figures beside those of the one before it."""
    known = registry.read(workspace / REGISTRY)
    if not known.models:
        return
    newest, before = known.models[-1], known.models[-2] if len(known.models) > 1 else None
    note = "" if before is None or before.basis == newest.basis else " (on other test faces, or by another gate)"
    create_table_artifact(
        key="evaluation",
        table=figure_rows(newest, before),
        description=f"**{newest.name}: {newest.verdict}**; promoted: {known.promoted}. "
        + (f"Beside it {before.name}{note}. " if before else "")
        + "`facemask models` lists all.",
    )


def figure_rows(newest: Model, before: Model | None) -> list[dict[str, Any]]:
    """A row for each number of the evaluation, with the change where both models have it."""
    rows = []
    for direction, figures in newest.figures.items():
        for name, value in figures.items() if isinstance(figures, dict) else ():
            row = {"figure": f"{direction}.{name}", newest.name: value}
            if before:
                old = before.figures.get(direction, {}).get(name)
                change = (
                    f"{value - old:+.4g}" if isinstance(value, int | float) and isinstance(old, int | float) else "-"
                )
                row |= {before.name: "-" if old is None else old, "change": change}
            rows.append(row)
    return rows


def show_samples(workspace: Path) -> None:
    """Artifact `samples`: the evaluation's grid of pictures, embedded."""
    path = workspace / SAMPLES_PNG
    if path.is_file():
        create_image_artifact(
            key="samples",
            image_url=data_uri(path),
            description="Test faces and what the model makes of them.",
        )


def data_uri(path: Path, max_bytes: int = MAX_IMAGE_BYTES) -> str:
    """The picture as a data: URI; one larger than `max_bytes` becomes a JPEG, made smaller until it fits."""
    data, kind = path.read_bytes(), "png"
    if len(data) > max_bytes:
        data, kind = _smaller_jpeg(data, max_bytes), "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _smaller_jpeg(data: bytes, max_bytes: int) -> bytes:
    from pipeline.storage.images import open_image  # rarely needed

    with open_image(data) as image:
        picture = image.convert("RGB")
    while True:
        made = io.BytesIO()
        picture.save(made, "JPEG", quality=85)
        if made.tell() <= max_bytes or min(picture.size) < 16:
            return made.getvalue()
        picture = picture.resize((picture.width * 4 // 5, picture.height * 4 // 5))
