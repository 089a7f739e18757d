"""The one table of reasons for rejection: name, rule, meaning and order.

The summary, the page, the limits on the page, the acceptance rate of generated pictures and docs/manifest.md follow it.
"""

from dataclasses import dataclass

import pandas as pd

from pipeline.curation import rules
from pipeline.curation.rules import CurateParams, Rule


@dataclass(frozen=True)
class Reason:
    """One reason for rejecting an image."""

    name: str  # in the manifest's column `reasons`
    rule: Rule | None  # None: measurements of the image alone do not decide it
    meaning: str  # a sentence for the page
    about_mask: bool = False  # contradicts the label of a correctly worn mask, or of an unmasked face


DUPLICATE, NOT_SELECTED, DROPPED_IN_REVIEW = "duplicate", "not_selected", "dropped_in_review"

REASONS = (
    Reason("unreadable", rules.unreadable, "The file is truncated or not an image."),
    Reason("too_small", rules.too_small, "The image or the face has too few pixels."),
    Reason("no_face", rules.no_face, "No face was found."),
    Reason("many_faces", rules.many_faces, "More than one face was found."),
    Reason("face_truncated", rules.face_truncated, "The edge of the image cuts off the face or what surrounds it."),
    Reason("turned_away", rules.turned_away, "The head is turned or tilted too far."),
    Reason("blurred", rules.blurred, "The face is not sharp."),
    Reason("no_mask", rules.no_mask, "Nose, mouth and chin are uncovered.", about_mask=True),
    Reason("nose_uncovered", rules.nose_uncovered, "The mask does not cover the nose.", about_mask=True),
    Reason("mouth_uncovered", rules.mouth_uncovered, "The mask does not cover the mouth.", about_mask=True),
    Reason("chin_uncovered", rules.chin_uncovered, "The mask does not cover the chin.", about_mask=True),
    Reason("eyes_covered", rules.eyes_covered, "The mask covers the eyes.", about_mask=True),
    Reason("mask_misplaced", rules.mask_misplaced, "The mask covers one cheek only.", about_mask=True),
    Reason("face_covered", rules.face_covered, "Something covers a face that should be unmasked.", about_mask=True),
    Reason("licence", rules.licence, "The licence is one that params.yaml refuses."),
    Reason(DUPLICATE, None, "Near-duplicate of an image that was kept."),
    Reason(NOT_SELECTED, None, "It passes all rules, but curate.select keeps fewer images, the best and most varied."),
    Reason(DROPPED_IN_REVIEW, None, "A person dropped it in review."),
)
"""All reasons, in the order in which a row of the manifest lists them."""

RELATIVE_REASONS = (DUPLICATE, NOT_SELECTED)
"""Reasons that other images give: an image that has one of these alone passes all rules."""


def passes_all_rules(rows: pd.DataFrame) -> pd.Series:
    """Which rows are accepted, or rejected only because of other images."""
    return rows["reasons"].map(lambda reasons: set(reasons) <= set(RELATIVE_REASONS))


REASON_NAMES = tuple(reason.name for reason in REASONS)
MASK_REASONS = tuple(reason for reason in REASONS if reason.about_mask)


def apply_rules(images: pd.DataFrame, limits: CurateParams) -> list[list[str]]:
    """The names of the reasons against each image, in the order of REASONS; empty for an image that passes all rules.

    `images` has the manifest's measurement columns, `domain` and `licence`.
    """
    reasons: list[list[str]] = [[] for _ in range(len(images))]
    for reason in REASONS:
        if reason.rule is not None:
            for row in rules.as_bools(reason.rule(images, limits)).nonzero()[0]:
                reasons[row].append(reason.name)
    return reasons
