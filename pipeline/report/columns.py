"""Writes the manifest as scripts: a page that was opened from disk may load nothing else.

    columns.js          the columns to filter, sort and draw by: base64 of little-endian arrays, loaded whole
    ids.json            the image ids, for `facemask review`
    rows/000000.js ...  the details of PER_CHUNK images each: ids, licences, authors, landmarks

run_data.py writes run.js beside them. Images are in the order of the thumbnails; an image's index in that order is its
name on the page.
"""

import base64
import json
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.report.face_map import face_map
from pipeline.report.groups import image_groups
from pipeline.report.run_data import reason_bits
from pipeline.report.sprite_sheets import SpriteSheets

PER_CHUNK = 200
IDS_NAME = "ids.json"
NUMBERS = (
    "width", "height", "faces", "yaw", "pitch", "roll", "cover_nose", "cover_mouth", "cover_chin", "cover_eyes",
    "cover_face", "cover_total", "cover_symmetry", "sharpness", "brightness", "face_px", "frame_px",
    "frame_inside", "face_inside", "noise", "quality", "dup_similarity",
    "glasses", "skin_tone", "mask_lightness", "mask_a", "mask_b",
)  # fmt: skip
CATEGORIES = ("domain", "source", "claimed", "split", "review")
_DETAILS = ("image_id", "bytes", "ffhq_id", "licence", "author", "url", "archive", "path")


class Category(TypedDict):
    """A column with few different values."""

    values: list[str]
    codes: str  # base64 of uint8, one for each image: 0 none, 1 the first value, ...


class MapPlaces(TypedDict):
    """Where each image is on the map: base64 of uint16, 1-65535; 0: it is not on the map."""

    x: str
    y: str


class Columns(TypedDict):
    """The argument of facemask.columns; base64 of one element for each image."""

    numbers: dict[str, str]  # float32, NaN where nothing was measured
    categories: dict[str, Category]
    groups: dict[str, Category]  # kind -> group (curation/groups.py)
    reasons: str  # uint32: bits in the order of curation/reasons.py
    duplicateOf: str  # int32: index of the image that it duplicates, or -1
    map: MapPlaces


def write_columns(folder: Path, rows: pd.DataFrame, sheets: SpriteSheets) -> None:
    """Write the scripts for the manifest's rows, which are in the order of the thumbnails, into `folder`."""
    indices = {image_id: index for index, image_id in enumerate(sheets.image_ids)}
    columns: Columns = {
        "numbers": {name: _base64(_float32(rows[name])) for name in NUMBERS},
        "categories": {name: _category(rows[name]) for name in CATEGORIES},
        "groups": {kind: _category(groups) for kind, groups in image_groups(rows).items()},
        "reasons": _base64(reason_bits(rows["reasons"])),
        "duplicateOf": _base64(np.array([indices.get(kept, -1) for kept in rows["dup_of"].fillna("")], np.int32)),
        "map": _map_places(rows),
    }
    _write_call(folder / "columns.js", "columns", columns)
    (folder / IDS_NAME).write_text(json.dumps(sheets.image_ids, ensure_ascii=False), encoding="utf-8")
    for number, start in enumerate(range(0, len(rows), PER_CHUNK)):
        details = _details(rows.iloc[start : start + PER_CHUNK], sheets, start)
        _write_call(folder / f"rows/{number:06d}.js", "details", number, details)


def _details(rows: pd.DataFrame, sheets: SpriteSheets, start: int) -> list[dict[str, Any]]:
    """The details of images `start`, `start` + 1, ...: the columns _DETAILS, the thumbnail's size, the landmarks."""
    details = []
    for index, row in enumerate(rows.to_dict("records"), start):
        detail = {name: _json_value(row[name]) for name in _DETAILS if not pd.isna(row[name])}
        detail["size"] = sheets.sizes[index]
        if points := sheets.points[index]:
            detail["points"] = base64.b64encode(points).decode()
        details.append(detail)
    return details


def _write_call(path: Path, function: str, *arguments: Any) -> None:
    """Write a script that calls facemask.`function`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = ",".join(json.dumps(argument, ensure_ascii=False, separators=(",", ":")) for argument in arguments)
    path.write_text(f"facemask.{function}({text})\n", encoding="utf-8")


def _float32(column: pd.Series) -> NDArray[np.float32]:
    return np.asarray(column.astype("Float32").to_numpy(np.float32, na_value=np.nan), np.float32)


def _category(column: pd.Series) -> Category:
    values = [str(value) for value in _order(column)]
    codes = column.astype("object").map({value: code for code, value in enumerate(values, 1)}).fillna(0)
    return {"values": values, "codes": _base64(codes.to_numpy(np.uint8))}


def _order(column: pd.Series) -> list[Any]:
    """The values that occur, in the order of an ordered category, else sorted."""
    if isinstance(column.dtype, pd.CategoricalDtype) and column.dtype.ordered:
        return list(column.cat.remove_unused_categories().cat.categories)
    return sorted(column.dropna().astype(str).unique())


def _map_places(rows: pd.DataFrame) -> MapPlaces:
    places = np.where(np.isnan(places := face_map(rows)), 0, np.rint(1 + 65534 * places)).astype(np.uint16)
    return {"x": _base64(places[:, 0]), "y": _base64(places[:, 1])}


def _base64(values: NDArray[Any]) -> str:
    return base64.b64encode(values.tobytes()).decode()


def _json_value(value: Any) -> Any:
    """`value`, a NumPy scalar as Python's own type."""
    return value.item() if hasattr(value, "item") else value
