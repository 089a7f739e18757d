"""The manifest as a browser reads it from disk: scripts, as a page opened from a file may load nothing else.

    columns.js          every column that is filtered, sorted or drawn by, whole: base64 of little-endian arrays
    ids.json            the image ids, for `facemask review`
    rows/000000.js ...  what is only looked at, PER_CHUNK images each: ids, licences, authors, landmarks

Images come in the order of the sheets; they are named by their place in it.
"""

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.manifest import REASONS
from pipeline.page.sheets import Sheets

PER_CHUNK = 200
IDS_NAME = "ids.json"
NUMBERS = (
    "width", "height", "faces", "yaw", "pitch", "roll", "cover_nose", "cover_mouth", "cover_chin", "cover_eyes",
    "cover_face", "cover_seen", "cover_balance", "sharpness", "brightness", "face_px", "dup_distance",
)  # fmt: skip
WORDS = ("domain", "source", "claimed", "split", "review")
_DETAILS = ("image_id", "bytes", "ffhq_id", "licence", "author", "url", "archive", "path")


def write_columns(folder: Path, rows: pd.DataFrame, sheets: Sheets) -> None:
    """Write the scripts for the manifest's rows into `folder`."""
    rows = rows.set_index("image_id", drop=False).loc[sheets.image_ids]
    places = {image_id: place for place, image_id in enumerate(sheets.image_ids)}
    columns = {
        "numbers": {name: _base64(_numbers(rows[name])) for name in NUMBERS},
        "words": {name: _codes(rows[name]) for name in WORDS},
        "reasons": _base64(_bits(rows["reasons"])),
        "repeats": _base64(np.array([places.get(of, -1) for of in rows["dup_of"].fillna("")], np.int32)),
    }
    _script(folder / "columns.js", "columns", columns)
    (folder / IDS_NAME).write_text(json.dumps(sheets.image_ids, ensure_ascii=False), encoding="utf-8")
    for number, start in enumerate(range(0, len(rows), PER_CHUNK)):
        some = rows.iloc[start : start + PER_CHUNK]
        details = [
            {name: _plain(row[name]) for name in _DETAILS if not pd.isna(row[name])} for row in some.to_dict("records")
        ]
        for place, detail in enumerate(details, start):
            detail["size"] = sheets.sizes[place]
            if points := sheets.points[place]:
                detail["points"] = base64.b64encode(points).decode()
        _script(folder / f"rows/{number:06d}.js", "rows", number, details)


def _script(path: Path, call: str, *values: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    given = ",".join(json.dumps(value, ensure_ascii=False, separators=(",", ":")) for value in values)
    path.write_text(f"facemask.{call}({given})\n", encoding="utf-8")


def _numbers(column: pd.Series) -> NDArray[np.float32]:
    return np.asarray(column.astype("Float32").to_numpy(np.float32, na_value=np.nan), np.float32)


def _codes(column: pd.Series) -> dict[str, Any]:
    """The words, and for each image which: 0 none, 1 the first, ..."""
    words = sorted(column.dropna().astype(str).unique())
    codes = column.astype("object").map({word: code for code, word in enumerate(words, 1)}).fillna(0)
    return {"words": words, "codes": _base64(codes.to_numpy(np.uint8))}


def _bits(reasons: pd.Series) -> NDArray[np.uint32]:
    """Each image's reasons as bits, in the order of manifest.REASONS."""
    return np.array([sum(1 << REASONS.index(reason) for reason in some) for some in reasons], np.uint32)


def _base64(values: NDArray[Any]) -> str:
    return base64.b64encode(values.tobytes()).decode()


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value
