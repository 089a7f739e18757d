"""reports/metrics.json: the few numbers of a run that `dvc metrics show` and `dvc exp show` compare, on one line."""

import json
from pathlib import Path
from typing import Any

from pipeline.errors import FacemaskError
from pipeline.paths import Paths
from pipeline.storage.files import write_json

_OF_EVALUATION = {"mask": ("accepted", "kid"), "unmask": ("still_masked", "kid")}
_OF_NEW_FACES = {"new_unmasked": ("face_found", "kid", "copies"), "new_masked": ("accepted", "kid", "copies")}


def write_headline(paths: Paths) -> None:
    """Write accepted images of each domain, and the metrics that decide a promotion, where they were measured.

    Raises FacemaskError where reports/curation.json or reports/evaluation.json cannot be read.
    """
    domains = _read(paths.curation_report, "curate")["domains"]
    evaluation = _read(paths.evaluation, "evaluate")
    numbers: dict[str, Any] = {f"{domain}_images": counts["accepted"] for domain, counts in sorted(domains.items())}
    for direction, names in (_OF_NEW_FACES if "new_masked" in evaluation else _OF_EVALUATION).items():
        measured = evaluation.get(direction, {})
        numbers[direction] = {name: measured[name] for name in names if name in measured}
    write_json(paths.headline, numbers)


def _read(path: Path, stage: str) -> dict[str, Any]:
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FacemaskError(f"{path} cannot be read: run 'dvc repro {stage}'") from error
    return values
