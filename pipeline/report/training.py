"""The page's section on the trained model: its evaluation, losses and sample images."""

import base64
import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.errors import FacemaskError
from pipeline.paths import MODELS_JSON, Paths
from pipeline.report.facts import EvaluationRow, Figure, TrainingSection

_CAPTIONS = {
    "grid": "Test faces, which were not trained on. Left: unmasked, with the mask that the model put on, and with that "
    "mask removed again. Right: masked, with the mask removed by the model, and with one put on again.",
    "progress": "The same faces during training: the photos (first row), then a row for each checkpoint. "
    "Left: a mask is put on. Right: a mask is removed.",
}
_NEW_FACES_CAPTIONS = {
    "new_faces": "New faces, made by the model, each without and with its mask.",
    "progress": "The same faces during training, a row for each checkpoint. Left: without a mask. Right: with it.",
}
_FEATURES = "fid_features"
_OF_FEATURES = ("fid", "precision", "recall")  # metrics that rest on them
_NOT_ROWS = (_FEATURES, "fid_of_the_study")
_HIGHER, _LOWER = "higher is better", "lower is better"
_BETTER = {
    "psnr_outside_db": _HIGHER, "psnr_cycle_db": _HIGHER, "matte_inside": _HIGHER, "matte_outside": _LOWER,
    "accepted": _HIGHER, "still_masked": _LOWER, "real_fake_auc": "0.5 is best: they cannot be told apart",
    "face_found": _HIGHER, "copies": _LOWER,
    "real_fake_dprime": _LOWER, "sharpness_ratio": "1 is best: as sharp as real faces", "kid": _LOWER, "fid": _LOWER,
    "precision": _HIGHER, "recall": _HIGHER, "identity_distance": _LOWER, "identity_distance_back": _LOWER,
    "true_psnr_db": _HIGHER, "true_ssim": _HIGHER, "true_identity_distance": _LOWER,
}  # fmt: skip
"""Metric of models/evaluation_report.py -> which values are good."""
_MAX_POINTS = 300  # of a training curve: more cannot be distinguished


def read_training(paths: Paths) -> TrainingSection:
    """Read reports/evaluation.json and what training left in reports/. Raises FacemaskError without an evaluation."""
    try:
        evaluation = json.loads(paths.evaluation.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FacemaskError(f"{paths.evaluation} cannot be read: run 'dvc repro evaluate'") from error
    directions = {name: values for name, values in evaluation.items() if isinstance(values, dict)}
    facts = (f"{name.replace('_', ' ')}: {value}" for name, value in evaluation.items() if name not in directions)
    images = [*sorted(paths.samples.glob("*.png")), paths.training_report / "progress.png"]
    captions = _NEW_FACES_CAPTIONS if "new_masked" in directions else _CAPTIONS
    curves = sorted((paths.training_report / "plots/metrics").glob("*.tsv"))
    return {
        "directions": list(directions),
        "evaluation": list(_evaluation_rows(list(directions.values()))),
        "promotion": _promotion(paths, evaluation.get("checkpoint", "")),
        "facts": " · ".join(facts),
        "losses": {file.stem: _curve(file) for file in curves},
        "pictures": [_figure(file, captions) for file in images if file.exists()],
    }


def _promotion(paths: Paths, checkpoint: str) -> str:
    """Which model is promoted, and what the model with the digest `checkpoint` is; empty where none is registered.

    Raises FacemaskError for a registry that cannot be read.
    """
    path = paths.registry / MODELS_JSON
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        promoted = known["promoted"]
        this = next((model for model in known["models"] if model["checkpoint"].startswith(checkpoint or "-")), None)
        if promoted is None:
            return ""
        if this is None:
            return f"Promoted: {promoted}. This model is not registered: a run of curate-and-train compares it."
        if this["name"] == promoted:
            return f"This is {promoted}, the promoted model: {this['verdict']}."
        return f"Promoted: {promoted}. This: {this['name']}, {this['verdict']}."
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FacemaskError(f"{path} cannot be read ({error}): restore it from git ('git checkout {path}')") from error


def _evaluation_rows(directions: list[dict[str, Any]]) -> Iterator[EvaluationRow]:
    """A row for each metric, and the original study's FID below ours.

    Metrics that rest on a network's features are in a row for each network: those of different features cannot be
    compared. The evaluation holds the study's FID only where ours was measured with Inception features, as it was.
    """
    names = dict.fromkeys(name for metrics in directions for name in metrics if name not in _NOT_ROWS)
    for name in names:
        text, better = name.replace("_", " "), _BETTER.get(name, "")
        if name not in _OF_FEATURES:
            yield {"name": text, "better": better, "values": [_text(metrics.get(name)) for metrics in directions]}
            continue
        for features in dict.fromkeys(metrics.get(_FEATURES) for metrics in directions if name in metrics):
            values = [_text(metrics.get(name)) if metrics.get(_FEATURES) == features else "" for metrics in directions]
            yield {"name": f"{text} ({features} features)" if features else text, "better": better, "values": values}
        if name == "fid":
            study = [_text(metrics.get("fid_of_the_study", "not comparable: other features")) for metrics in directions]
            yield {"name": "fid of the original study (Inception features)", "better": better, "values": study}


def _text(value: Any) -> str:
    if isinstance(value, list):  # an interval
        return " to ".join(map(_text, value))
    return "" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)


def _figure(file: Path, captions: dict[str, str]) -> Figure:
    return {
        "caption": captions.get(file.stem, ""),
        "name": file.stem,
        "image": "data:image/png;base64," + base64.b64encode(file.read_bytes()).decode(),
    }


def _curve(file: Path) -> list[list[float]]:
    """The points [images seen, value] of a curve that DVCLive wrote, thinned out to _MAX_POINTS."""
    with file.open(encoding="utf-8", newline="") as lines:
        points = [[float(value) for value in row] for row in list(csv.reader(lines, delimiter="\t"))[1:]]
    step = max(1, -(-len(points) // _MAX_POINTS))
    return points[::step]
