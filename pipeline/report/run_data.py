"""Writes index.data/run.js: the names of the images, their verdicts and the parameters of this run.

The page loads it to search by name; the page of another run reads it as a file, to show which images changed sides.
"""

import base64
import json
from dataclasses import asdict
from pathlib import Path
from typing import TypedDict

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.curation.reasons import REASON_NAMES
from pipeline.curation.rules import CurateParams

RUN_NAME = "run.js"
_SEPARATOR = "\0"  # no path contains it


class RunData(TypedDict):
    """The argument of facemask.run."""

    made: str  # the day on which the page was made
    ids: str  # image ids in the page's order, with NUL between them
    reasonNames: tuple[str, ...]  # in the order of the bits in `reasons`
    reasons: str  # base64 of uint32, little-endian, one for each image
    thresholds: dict[str, object]  # block `curate` of params.yaml, with dots for nested keys


def write_run(folder: Path, rows: pd.DataFrame, limits: CurateParams, made: str) -> None:
    """Write the run's data for the manifest's `rows`, which are in the page's order, into `folder`."""
    run: RunData = {
        "made": made,
        "ids": _SEPARATOR.join(rows["image_id"]),
        "reasonNames": REASON_NAMES,
        "reasons": base64.b64encode(reason_bits(rows["reasons"]).tobytes()).decode(),
        "thresholds": _flat(asdict(limits)),
    }
    text = json.dumps(run, ensure_ascii=False, separators=(",", ":"))
    (folder / RUN_NAME).write_text(f"facemask.run({text})\n", encoding="utf-8")


def reason_bits(column: pd.Series) -> NDArray[np.uint32]:
    """The reasons of each image as (N,) bits in the order of REASON_NAMES; 0 for an accepted image."""
    return np.array([sum(1 << REASON_NAMES.index(reason) for reason in reasons) for reasons in column], np.uint32)


def _flat(values: dict[str, object], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat
