"""The page's tables: images by verdict, by source, and by the labels in their file names."""

import pandas as pd

from pipeline.report.facts import ClaimRow, SourceRow, VerdictRow

MEANINGS = {
    "accepted": "Kept for training.",
    "unreadable": "The file is truncated or not an image.",
    "too_small": "The image or the face has too few pixels.",
    "no_face": "No face was found.",
    "many_faces": "More than one face was found.",
    "turned_away": "The head is turned or tilted too far.",
    "blurred": "The face is not sharp.",
    "no_mask": "Nose, mouth and chin are uncovered.",
    "nose_uncovered": "The mask does not cover the nose.",
    "mouth_uncovered": "The mask does not cover the mouth.",
    "chin_uncovered": "The mask does not cover the chin.",
    "eyes_covered": "The mask covers the eyes.",
    "mask_misplaced": "The mask covers one cheek only.",
    "face_covered": "Something covers a face that should be unmasked.",
    "duplicate": "Near-duplicate of an image that was kept.",
    "licence": "The licence is one that params.yaml refuses.",
    "dropped_in_review": "A person dropped it in review.",
}
"""`accepted` and each reason for rejection, explained on the page."""

_MASK_REASONS = frozenset(
    ("no_mask", "nose_uncovered", "mouth_uncovered", "chin_uncovered", "eyes_covered", "mask_misplaced", "face_covered")
)
"""Reasons that contradict the label of a correctly worn mask, or of an unmasked face."""


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

    `correct` and `plain` are wrong where the mask's placement was a reason for rejection. The labels of badly worn
    masks are wrong where the image was accepted, or is a near-duplicate of one that was.
    """
    labelled = rows[rows["claimed"].notna() & rows["width"].notna()]
    table: list[ClaimRow] = []
    for claim, part in labelled.groupby("claimed", observed=True):
        if claim in ("correct", "plain"):
            wrong = part["reasons"].map(lambda reasons: not _MASK_REASONS.isdisjoint(reasons))
        else:
            wrong = part["accepted"] | part["reasons"].map(lambda reasons: "duplicate" in reasons)
        accepted = int(part["accepted"].sum())
        table.append({"claim": str(claim), "seen": len(part), "accepted": accepted, "wrong": int(wrong.sum())})
    return table
