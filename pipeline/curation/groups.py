"""Who is dropped: the share of accepted images by skin tone, mask, pose, glasses, size and label, with intervals.

Groups are those of the photo, not of the person: under unknown light a skin tone is rough (docs/curation.md). An image
without a detected face has no skin tone of its own; it takes the one of the unmasked photo with the same FFHQ id.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.storage.files import replacing

WARN_BELOW = 0.03
"""A skin tone is reported if its interval lies wholly below the others' share of accepted images by more than this."""


@dataclass(frozen=True)
class GroupKind:
    """A measurement by which images are grouped."""

    name: str  # on the page and in groups.csv
    values: Callable[[pd.DataFrame], pd.Series]  # rows of the manifest -> numbers, or labels where there are no bounds
    missing: str  # label of images without a value
    bounds: tuple[float, ...] = ()  # a group goes from one, inclusive, to the next
    unit: str = ""
    domain: str | None = None  # grouped in this domain only

    @property
    def labels(self) -> list[str]:
        """The groups with a value, in their order; none where the values are labels themselves."""
        if not self.bounds:
            return []
        inner = [f"{low:g} to {high:g}{self.unit}" for low, high in pairwise(self.bounds)]
        return [f"below {self.bounds[0]:g}{self.unit}", *inner, f"{self.bounds[-1]:g}{self.unit} and above"]


def _skin_tone(rows: pd.DataFrame) -> pd.Series:
    """The skin tone, degrees; where none was measured, that of the unmasked photo with the same FFHQ id."""
    photos = rows[(rows["domain"] == "unmasked") & rows["ffhq_id"].notna() & rows["skin_tone"].notna()]
    of_person = photos.drop_duplicates("ffhq_id").set_index("ffhq_id")["skin_tone"]
    borrowed = rows["ffhq_id"].map(of_person).to_numpy("float32", na_value=np.nan)
    return rows["skin_tone"].fillna(pd.Series(borrowed, rows.index))


SKIN_TONE = GroupKind("skin tone", _skin_tone, "not measured", (10, 28, 41, 55), "°")
"""Individual typology angle, with the bounds of Chardon et al. 1991; their two darkest classes are one here."""

KINDS = (
    SKIN_TONE,
    GroupKind("mask lightness", lambda rows: rows["mask_lightness"], "no mask seen", (30, 50, 70), " L*", "masked"),
    GroupKind("head turned by", lambda rows: rows["yaw"].abs(), "no face", (15, 30, 45), "°"),
    GroupKind("line of glasses", lambda rows: rows["glasses"], "no face", (0.1,)),
    GroupKind(
        "shorter side", lambda rows: rows[["width", "height"]].min(axis=1), "unreadable", (128, 256, 512, 1024), " px"
    ),
    GroupKind("label", lambda rows: rows["claimed"], "none"),
)


def group_labels(rows: pd.DataFrame, kind: GroupKind) -> pd.Series:
    """The group of each row of the manifest, an ordered category; null in a domain that `kind` does not group."""
    values = kind.values(rows)
    if kind.bounds:
        edges = [-np.inf, *kind.bounds, np.inf]
        labels = pd.cut(values.astype("float64"), edges, right=False, labels=kind.labels).astype(object)
        order = kind.labels
    else:
        labels = values.astype(object)
        order = sorted(labels.dropna().unique())
    labels = labels.where(labels.notna(), kind.missing)
    if kind.domain:
        labels = labels.where(rows["domain"] == kind.domain, None)
    return pd.Series(pd.Categorical(labels, [*order, kind.missing], ordered=True), rows.index)


def wilson(accepted: int, images: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927), 0-1; 0 and 1 of no images."""
    if not images:
        return 0.0, 1.0
    from scipy.stats import binomtest  # slow to load

    interval = binomtest(accepted, images).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


def acceptance_by_group(rows: pd.DataFrame) -> pd.DataFrame:
    """One row for each group and domain with images: kind, group, domain, images, accepted, share, low, high.

    Duplicates, and images that were not selected, count as not accepted too.
    """
    table = []
    for kind in KINDS:
        groups = rows["accepted"].groupby([group_labels(rows, kind), rows["domain"].astype(str)], observed=True)
        for (group, domain), accepted in groups:
            kept, images = int(accepted.sum()), len(accepted)
            table.append((kind.name, group, domain, images, kept, kept / images, *wilson(kept, images)))
    return pd.DataFrame(table, columns=["kind", "group", "domain", "images", "accepted", "share", "low", "high"])


def disadvantaged(table: pd.DataFrame) -> pd.DataFrame:
    """The skin tones of acceptance_by_group whose interval lies below the others' share by more than WARN_BELOW.

    With a column `others`: the share of accepted images of the domain's other measured skin tones.
    """
    tones = table[(table["kind"] == SKIN_TONE.name) & (table["group"] != SKIN_TONE.missing)]
    totals = tones.groupby("domain")[["images", "accepted"]].transform("sum")
    others = (totals["accepted"] - tones["accepted"]) / (totals["images"] - tones["images"])  # alone: NaN
    return tones.assign(others=others)[tones["high"] < others - WARN_BELOW]


def write_groups(rows: pd.DataFrame, folder: Path) -> None:
    """Write acceptance_by_group as groups.csv, with kind and group in one column, and print what is disadvantaged."""
    table = acceptance_by_group(rows)
    named = table.assign(group=table["kind"] + " " + table["group"].astype(str)).drop(columns="kind")
    with replacing(folder / "groups.csv") as beside:
        named.round({"share": 4, "low": 4, "high": 4}).to_csv(beside, index=False)
    for row in disadvantaged(table).to_dict("records"):
        print(
            f"curate: {row['domain']} faces with a skin tone {row['group']}: {row['share']:.1%} of {row['images']:,} "
            f"images accepted ({row['low']:.1%} to {row['high']:.1%}), of the other skin tones {row['others']:.1%}: "
            "look at 'Who is dropped?' on the page",
            flush=True,
        )
