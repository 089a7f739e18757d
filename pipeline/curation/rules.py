"""The rules: which images are kept. One rule, one function, one reason.

Each rule takes all images at once (a data frame with the manifest's measurement columns, and `domain`) and the limits
of params.yaml's block `curate`, and says for each image whether it is to be rejected. A comparison with a missing
measurement is false, so that a rule speaks only of images that it can see: `no_face` says nothing of an unreadable one.
"""

from collections.abc import Callable
from typing import Annotated

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass as params_dataclass

from pipeline.params import STRICT


@params_dataclass(frozen=True, config=STRICT)
class DedupParams:
    max_bits: Annotated[int, Field(ge=0, le=128)]
    max_removed: Annotated[float, Field(ge=0, le=1)]


@params_dataclass(frozen=True, config=STRICT)
class SplitParams:
    val: Annotated[float, Field(ge=0, lt=1)]
    test: Annotated[float, Field(ge=0, lt=1)]
    test_from_ffhq_id: Annotated[int | None, Field(ge=0)]


@params_dataclass(frozen=True, config=STRICT)
class CurateParams:
    """params.yaml, block `curate`; units and meanings stand there."""

    min_px: Annotated[int, Field(ge=1)]
    min_face_px: Annotated[float, Field(ge=0)]
    max_yaw: Annotated[float, Field(gt=0, le=90)]
    max_pitch: Annotated[float, Field(gt=0, le=90)]
    max_roll: Annotated[float, Field(gt=0, le=180)]
    min_sharpness: Annotated[float, Field(ge=0)]
    min_cover_seen: Annotated[float, Field(ge=0, le=1)]
    min_cover_trace: Annotated[float, Field(ge=0, le=1)]
    min_cover_nose: Annotated[float, Field(ge=0, le=1)]
    min_cover_mouth: Annotated[float, Field(ge=0, le=1)]
    min_cover_chin: Annotated[float, Field(ge=0, le=1)]
    max_cover_eyes: Annotated[float, Field(ge=0, le=1)]
    min_cover_balance: Annotated[float, Field(ge=0, le=1)]
    max_cover_plain: Annotated[float, Field(ge=0, le=1)]
    refused_licences: list[str]
    dedup: DedupParams
    split: SplitParams


Rule = Callable[[pd.DataFrame, CurateParams], pd.Series]


def unreadable(images: pd.DataFrame, limits: CurateParams) -> pd.Series:
    return images["width"].isna()


def too_small(images: pd.DataFrame, limits: CurateParams) -> pd.Series:
    small = images[["width", "height"]].min(axis=1) < limits.min_px
    return small | (images["face_px"] < limits.min_face_px)


def no_face(images: pd.DataFrame, limits: CurateParams) -> pd.Series:
    return images["width"].notna() & (images["faces"] == 0)


def many_faces(images: pd.DataFrame, limits: CurateParams) -> pd.Series:
    return images["faces"] > 1


def turned_away(images: pd.DataFrame, limits: CurateParams) -> pd.Series:
    return (
        (images["yaw"].abs() > limits.max_yaw)
        | (images["pitch"].abs() > limits.max_pitch)
        | (images["roll"].abs() > limits.max_roll)
    )


def blurred(images: pd.DataFrame, limits: CurateParams) -> pd.Series:
    return images["sharpness"] < limits.min_sharpness


def no_mask(images: pd.DataFrame, limits: CurateParams) -> pd.Series:
    """No mask anywhere about the face. Of a mere trace the finer rules below say what they see, too."""
    return _masked(images) & (images["cover_seen"] < limits.min_cover_seen)


def nose_uncovered(images: pd.DataFrame, limits: CurateParams) -> pd.Series:
    return (images["cover_nose"] < limits.min_cover_nose) & _shows_one(images, limits)


def mouth_uncovered(images: pd.DataFrame, limits: CurateParams) -> pd.Series:
    return (images["cover_mouth"] < limits.min_cover_mouth) & _shows_one(images, limits)


def chin_uncovered(images: pd.DataFrame, limits: CurateParams) -> pd.Series:
    return (images["cover_chin"] < limits.min_cover_chin) & _shows_one(images, limits)


def eyes_covered(images: pd.DataFrame, limits: CurateParams) -> pd.Series:
    return _masked(images) & (images["cover_eyes"] > limits.max_cover_eyes)


def mask_misplaced(images: pd.DataFrame, limits: CurateParams) -> pd.Series:
    """One cheek is covered and the other is not: the mask is pushed aside."""
    return (images["cover_balance"] < limits.min_cover_balance) & _shows_one(images, limits)


def face_covered(images: pd.DataFrame, limits: CurateParams) -> pd.Series:
    """A plain face must show itself: nothing like a mask before it."""
    covered = images[["cover_nose", "cover_mouth", "cover_face"]].max(axis=1) > limits.max_cover_plain
    return ~_masked(images) & covered


def licence(images: pd.DataFrame, limits: CurateParams) -> pd.Series:
    return images["licence"].isin(limits.refused_licences)


RULES: dict[str, Rule] = {
    rule.__name__: rule
    for rule in (
        unreadable, too_small, no_face, many_faces, turned_away, blurred, no_mask, nose_uncovered, mouth_uncovered,
        chin_uncovered, eyes_covered, mask_misplaced, face_covered, licence,
    )
}  # fmt: skip
"""Reason -> rule, in the order in which a row's reasons are listed."""


def apply_rules(images: pd.DataFrame, limits: CurateParams) -> list[list[str]]:
    """The reasons against each image, none for those that pass."""
    verdicts = {reason: holds(rule(images, limits)) for reason, rule in RULES.items()}
    reasons: list[list[str]] = [[] for _ in range(len(images))]
    for reason, rejected in verdicts.items():
        for row in rejected.nonzero()[0]:
            reasons[row].append(reason)
    return reasons


def holds(verdict: pd.Series) -> NDArray[np.bool_]:
    """A rule's verdict as plain booleans; what cannot be told is false."""
    return np.asarray(verdict.astype("boolean").fillna(False), np.bool_)


def _masked(images: pd.DataFrame) -> pd.Series:
    return images["domain"] == "masked"


def _shows_one(images: pd.DataFrame, limits: CurateParams) -> pd.Series:
    return _masked(images) & (images["cover_seen"] >= limits.min_cover_trace)
