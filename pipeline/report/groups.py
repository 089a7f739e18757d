"""The page's section "Who is dropped?": its tables, and for each image the groups that the tables count it in."""

import pandas as pd

from pipeline.curation.groups import KINDS, SKIN_TONE, acceptance_by_group, disadvantaged, group_labels
from pipeline.report.facts import GroupRow, GroupTable

_MEANINGS = {
    SKIN_TONE.name: "The individual typology angle of the skin above a mask: high for light skin. It is only a rough "
    "estimate, because the photo's light changes it. An image without a face has the value of its unmasked photo.",
    "mask lightness": "Mean lightness of the mask in CIELAB: 0 is black, 100 is white.",
    "head turned by": "To either side.",
    "line of glasses": "The strongest line across the bridge of the nose, often the frame of glasses from 0.1 on.",
    "shorter side": "Of the whole image.",
    "label": "In the file name.",
}


def group_tables(rows: pd.DataFrame) -> list[GroupTable]:
    """One table for each kind of group that divides the manifest's rows in at least one domain."""
    acceptance = acceptance_by_group(rows)
    overall = rows.groupby(rows["domain"].astype(str))["accepted"].mean()
    warned = set(disadvantaged(acceptance).index)
    tables: list[GroupTable] = []
    for kind in KINDS:
        part = acceptance[acceptance["kind"] == kind.name]
        if part["group"].nunique() > 1:
            found = [_group_row(row, overall, row.name in warned) for _, row in part.iterrows()]
            tables.append({"name": kind.name, "meaning": _MEANINGS[kind.name], "rows": found})
    return tables


def _group_row(row: pd.Series, overall: pd.Series, warned: bool) -> GroupRow:
    return {
        "group": f"{row['kind']}: {row['group']}",
        "label": str(row["group"]),
        "domain": str(row["domain"]),
        "seen": int(row["images"]),
        "accepted": int(row["accepted"]),
        "low": float(row["low"]),
        "high": float(row["high"]),
        "overall": float(overall[row["domain"]]),
        "warned": warned,
    }


def image_groups(rows: pd.DataFrame) -> dict[str, pd.Series]:
    """Kind -> the group of each image, an ordered category: what the page filters its gallery by."""
    return {kind.name: group_labels(rows, kind) for kind in KINDS}
