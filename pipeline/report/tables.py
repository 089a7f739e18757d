"""The page's tables: images by verdict, by source, and by the labels in their file names."""

import pandas as pd

from pipeline.curation.reasons import MASK_REASONS, REASONS, passes_all_rules
from pipeline.report.facts import ClaimRow, SourceRow, VerdictRow

MEANINGS = {"accepted": "Kept for training.", **{reason.name: reason.meaning for reason in REASONS}}
"""Verdict -> its explanation on the page."""


EXPECTED = {
    "correct": ("accepted",),
    "unmasked": ("accepted",),
    "nose_out": ("nose_uncovered",),
    "chin_out": ("chin_uncovered",),
    "chin_only": ("nose_uncovered", "mouth_uncovered"),
}
"""Label in a file name -> the verdicts that agree with it."""


def verdict_rows(rows: pd.DataFrame) -> list[VerdictRow]:
    """Images of each domain that were accepted, then those rejected for each reason, in the order of MEANINGS."""
    verdicts = rows.assign(verdict=[list(reasons) or ["accepted"] for reasons in rows["reasons"]]).explode("verdict")
    counts = verdicts.groupby(["verdict", "domain"], observed=True).size()
    return [
        {"verdict": verdict, "domain": domain, "count": int(counts[verdict, domain]), "meaning": meaning}
        for verdict, meaning in MEANINGS.items()
        for domain in ("masked", "unmasked")
        if (verdict, domain) in counts.index
    ]


def source_rows(rows: pd.DataFrame) -> list[SourceRow]:
    """Images of each source and domain, and how many of them were accepted."""
    table = rows.groupby(["source", "domain"], observed=True)["accepted"].agg(["size", "sum"])
    return [
        {"source": source, "domain": domain, "seen": int(seen), "accepted": int(accepted)}
        for (source, domain), (seen, accepted) in zip(table.index, table.to_numpy(), strict=True)
    ]


def claim_rows(rows: pd.DataFrame) -> list[ClaimRow]:
    """Readable images by the label in their file name, how many were accepted, and how often the label was wrong.

    `correct` and `unmasked` are wrong where the mask was a reason for rejection. The labels of badly worn masks are
    wrong where the image passes all rules: accepted, a near-duplicate of an accepted one, or not selected.
    """
    labelled = rows[rows["claimed"].notna() & rows["width"].notna()]
    about_mask = {reason.name for reason in MASK_REASONS}
    table: list[ClaimRow] = []
    for claim, part in labelled.groupby("claimed", observed=True):
        if claim in ("correct", "unmasked"):
            wrong = part["reasons"].map(lambda reasons: not about_mask.isdisjoint(reasons))
        else:
            wrong = passes_all_rules(part)
        accepted = int(part["accepted"].sum())
        table.append({"claim": str(claim), "seen": len(part), "accepted": accepted, "wrong": int(wrong.sum())})
    return table
