"""What a run shows in Prefect's UI, made from the files that the stages wrote."""

import base64
import io
import json
from pathlib import Path
from typing import Any

from prefect.artifacts import create_image_artifact, create_table_artifact

from models import registry
from models.registry import Model
from pipeline.paths import Paths

CURVE_ROWS = 10  # of the table of losses; the files have all points, for `dvc plots show`
MAX_IMAGE_BYTES = 360_000  # 480 kB as base64, the form in which Prefect's database holds it


def show_rejections(workspace: Path) -> None:
    """Artifact `rejections`: how many images were dropped for each reason."""
    path = Paths(workspace).curation_report
    if path.is_file():
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
    """The counts of all images and of each domain, in Markdown."""
    domains = "; ".join(f"{domain}: {of['accepted']:,} of {of['seen']:,}" for domain, of in report["domains"].items())
    return (
        f"**{report['accepted']:,} of {report['seen']:,} images accepted, {report['rejected']:,} rejected** "
        f"({domains}). Each image's reasons: `pandas.read_parquet('data/manifest.parquet')`"
    )


def show_training(workspace: Path) -> None:
    """Artifacts `losses`, a table, and `training`, the same faces at several moments of the training."""
    report = Paths(workspace).training_report
    if rows := loss_rows(report / "plots" / "metrics"):
        description = "The losses during training; `dvc plots show` draws them."
        create_table_artifact(key="losses", table=rows, description=description)
    _show_image("training", report / "progress.png", "The same faces, as training went on.")


def loss_rows(curves: Path) -> list[dict[str, Any]]:
    """A row for each of some points of the curves, the first and the last among them: images seen, and each loss."""
    from pandas import DataFrame, concat, read_csv  # half a second, after a training

    files = sorted(curves.glob("*.tsv"))
    if not files:
        return []
    table: DataFrame = concat([read_csv(file, sep="\t", index_col="step")[file.stem] for file in files], axis=1)
    table = table.sort_index()
    count = min(CURVE_ROWS, len(table))
    chosen = sorted({round(row * (len(table) - 1) / max(1, count - 1)) for row in range(count)})
    return [
        {"images": int(step)} | {name: float(f"{value:.3g}") for name, value in losses.dropna().items()}
        for step, losses in table.iloc[chosen].iterrows()
    ]


def show_models(workspace: Path) -> None:
    """Artifact `evaluation`: the metrics of the newest model and of the one before it."""
    known = registry.read(Paths(workspace).registry)
    if not known.models:
        return
    newest, before = known.models[-1], known.models[-2] if len(known.models) > 1 else None
    description = f"**{newest.name}: {newest.verdict}**; promoted: {known.promoted}. "
    if before:
        note = "" if before.evaluation_id == newest.evaluation_id else " (on another test set)"
        description += f"Beside it {before.name}{note}. "
    description += "`facemask models` lists all."
    create_table_artifact(key="evaluation", table=metric_rows(newest, before), description=description)


def metric_rows(newest: Model, before: Model | None) -> list[dict[str, Any]]:
    """A row for each number of the evaluation, with the change where both models have it."""
    rows = []
    for block, metrics in newest.metrics.blocks().items():
        for name, value in metrics.measured().items():
            row = {"metric": f"{block}.{name}", newest.name: value}
            if before:
                old = getattr(getattr(before.metrics, block), name)
                are_numbers = isinstance(value, int | float) and isinstance(old, int | float)
                row |= {
                    before.name: "-" if old is None else old,
                    "change": f"{value - old:+.4g}" if are_numbers else "-",
                }
            rows.append(row)
    return rows


def show_samples(workspace: Path) -> None:
    """Artifact `samples`: the evaluation's grid of pictures."""
    samples = Paths(workspace).samples
    _show_image("samples", samples / "grid.png", "Test faces, and the model's output for them.")
    _show_image("samples", samples / "new_faces.png", "Faces that the model made, each without and with its mask.")


def _show_image(key: str, path: Path, description: str) -> None:
    if path.is_file():
        create_image_artifact(key=key, image_url=data_uri(path), description=description)


def data_uri(path: Path, max_bytes: int = MAX_IMAGE_BYTES) -> str:
    """The picture as a data: URI; one larger than `max_bytes` becomes a JPEG, made smaller until it fits."""
    data, kind = path.read_bytes(), "png"
    if len(data) > max_bytes:
        from pipeline.storage.images import open_image  # rarely needed

        kind = "jpeg"
        with open_image(data) as image:
            picture = image.convert("RGB")
        while len(data) > max_bytes and min(picture.size) >= 16:
            made = io.BytesIO()
            picture.save(made, "JPEG", quality=85)
            data = made.getvalue()
            picture = picture.resize((picture.width * 4 // 5, picture.height * 4 // 5))
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
