"""The curation rules: one function for each reason that measurements alone decide.

A rule takes all images at once, a data frame with the measurement columns of the manifest and `domain`, and the limits
of params.yaml's block `curate`. It returns for each image whether the image is rejected. A comparison with a missing
measurement is false or missing, so that a rule never rejects an image for what was not measured. reasons.py lists the
rules with their meaning and order.
"""

from collections.abc import Callable
from typing import Annotated

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass as params_dataclass

from pipeline.params import STRICT

Share = Annotated[float, Field(ge=0, le=1)]


@params_dataclass(frozen=True, config=STRICT)
class DedupParams:
    """params.yaml, block `curate`, key `dedup`."""

    max_hash_distance: Annotated[int, Field(ge=0, le=128)]  # Hamming, bits, of candidates: by photo or by face
    min_similarity: Annotated[float, Field(ge=0.5, le=1)]  # of their face patches: from it on they are copies
    max_removed: Share


@params_dataclass(frozen=True, config=STRICT)
class SplitParams:
    """params.yaml, block `curate`, key `split`."""

    val: Annotated[float, Field(ge=0, lt=1)]
    test: Annotated[float, Field(ge=0, lt=1)]
    test_from_ffhq_id: Annotated[int | None, Field(ge=0)]


@params_dataclass(frozen=True, config=STRICT)
class SelectParams:
    """params.yaml, block `curate`, key `select`: how many images of each domain to keep, null for all."""

    masked: Annotated[int | None, Field(ge=1)]
    unmasked: Annotated[int | None, Field(ge=1)]


@params_dataclass(frozen=True, config=STRICT)
class CurateParams:
    """params.yaml, block `curate`, which documents units and meanings."""

    min_px: Annotated[int, Field(ge=1)]
    min_face_px: Annotated[float, Field(ge=0)]
    min_frame_inside: Share
    min_face_inside: Share
    max_yaw: Annotated[float, Field(gt=0, le=90)]
    max_pitch: Annotated[float, Field(gt=0, le=90)]
    max_roll: Annotated[float, Field(gt=0, le=180)]
    min_sharpness: Annotated[float, Field(ge=0)]
    min_cover_total: Share
    min_cover_worn: Share
    min_cover_nose: Share
    min_cover_mouth: Share
    min_cover_chin: Share
    max_cover_eyes: Share
    min_cover_symmetry: Share
    max_cover_unmasked: Share
    refused_licences: list[str]
    dedup: DedupParams
    select: SelectParams
    split: SplitParams


Rule = Callable[[pd.DataFrame, CurateParams], pd.Series]


def as_bools(rejected: pd.Series) -> NDArray[np.bool_]:
    """The result of a rule, (N,) booleans; a missing value is false."""
    return np.asarray(rejected.astype("boolean").fillna(False), np.bool_)


def unreadable(images: pd.DataFrame, limits: CurateParams) -> pd.Series:
    """Images whose pixels cannot be decoded."""
    return images["width"].isna()


def too_small(images: pd.DataFrame, limits: CurateParams) -> pd.Series:
    """Images or training crops with a side below `min_px`, or a face lower than `min_face_px`."""
    small = images[["width", "height", "frame_px"]].min(axis=1) < limits.min_px
    return small | (images["face_px"] < limits.min_face_px)


def no_face(images: pd.DataFrame, limits: CurateParams) -> pd.Series:
    """Readable images in which no face was found."""
    return images["width"].notna() & (images["faces"] == 0)


def many_faces(images: pd.DataFrame, limits: CurateParams) -> pd.Series:
    """Images with more than one face."""
    return images["faces"] > 1


def face_truncated(images: pd.DataFrame, limits: CurateParams) -> pd.Series:
    """Less of the training crop than `min_frame_inside`, or of the face than `min_face_inside`, is in the image."""
    return (images["frame_inside"] < limits.min_frame_inside) | (images["face_inside"] < limits.min_face_inside)


def turned_away(images: pd.DataFrame, limits: CurateParams) -> pd.Series:
    """Heads turned or tilted by more than `max_yaw`, `max_pitch` or `max_roll`, in either direction."""
    return (
        (images["yaw"].abs() > limits.max_yaw)
        | (images["pitch"].abs() > limits.max_pitch)
        | (images["roll"].abs() > limits.max_roll)
    )


def blurred(images: pd.DataFrame, limits: CurateParams) -> pd.Series:
    """Faces less sharp than `min_sharpness`."""
    return images["sharpness"] < limits.min_sharpness


def no_mask(images: pd.DataFrame, limits: CurateParams) -> pd.Series:
    """Masked domain: no mask on the face or around it. A small one (`_shows_mask`) is judged by the rules below too."""
    return _masked(images) & (images["cover_total"] < limits.min_cover_total)


def nose_uncovered(images: pd.DataFrame, limits: CurateParams) -> pd.Series:
    """Images that show a mask, which covers less of the nose than `min_cover_nose`."""
    return (images["cover_nose"] < limits.min_cover_nose) & _shows_mask(images, limits)


def mouth_uncovered(images: pd.DataFrame, limits: CurateParams) -> pd.Series:
    """Images that show a mask, which covers less of the lips than `min_cover_mouth`."""
    return (images["cover_mouth"] < limits.min_cover_mouth) & _shows_mask(images, limits)


def chin_uncovered(images: pd.DataFrame, limits: CurateParams) -> pd.Series:
    """Images that show a mask, which covers less of the chin than `min_cover_chin`."""
    return (images["cover_chin"] < limits.min_cover_chin) & _shows_mask(images, limits)


def eyes_covered(images: pd.DataFrame, limits: CurateParams) -> pd.Series:
    """Masked domain: a mask covers more than `max_cover_eyes` between the eyes, also where no face was found."""
    return _masked(images) & (images["cover_eyes"] > limits.max_cover_eyes)


def mask_misplaced(images: pd.DataFrame, limits: CurateParams) -> pd.Series:
    """Images that show a mask, which covers one cheek and leaves the other bare: it is pushed aside."""
    return (images["cover_symmetry"] < limits.min_cover_symmetry) & _shows_mask(images, limits)


def face_covered(images: pd.DataFrame, limits: CurateParams) -> pd.Series:
    """Unmasked domain: something like a mask covers nose, mouth or lower face by more than `max_cover_unmasked`."""
    covered = images[["cover_nose", "cover_mouth", "cover_face"]].max(axis=1) > limits.max_cover_unmasked
    return ~_masked(images) & covered


def licence(images: pd.DataFrame, limits: CurateParams) -> pd.Series:
    """Photos under one of `refused_licences`."""
    return images["licence"].isin(limits.refused_licences)


def _masked(images: pd.DataFrame) -> pd.Series:
    return images["domain"] == "masked"


def _shows_mask(images: pd.DataFrame, limits: CurateParams) -> pd.Series:
    """Masked domain: enough of a mask is visible to judge what it leaves bare."""
    return _masked(images) & (images["cover_total"] >= limits.min_cover_worn)
