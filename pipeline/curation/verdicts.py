"""Verdicts: measured images and reviews in, the rows of the manifest out.

A review overrules the rules; near-duplicates are removed among the images that pass; what is left is split into train,
val and test by person; of each split the best and most varied images are selected, if params.yaml says how many.
"""

import hashlib
from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.curation.near_duplicates import find_duplicates
from pipeline.curation.reasons import DROPPED_IN_REVIEW, DUPLICATE, NOT_SELECTED, RELATIVE_REASONS, apply_rules
from pipeline.curation.reviews import Review
from pipeline.curation.rules import CurateParams, SelectParams, SplitParams
from pipeline.curation.selection import select_in_splits
from pipeline.errors import FacemaskError
from pipeline.sources.file_names import claimed_placement, ffhq_id


def manifest_rows(images: pd.DataFrame, limits: CurateParams, reviews: dict[str, Review]) -> pd.DataFrame:
    """The manifest's rows, ordered by image_id, of measured images in any order.

    `images` has the columns of manifest.NUMBERS_SCHEMA, and source, domain, licence, author and url; `reviews` are by
    image_id.
    """
    rows = images.assign(
        image_id=images["source"] + "/" + images["path"],
        ffhq_id=images["path"].map(ffhq_id).astype("Int32"),
        claimed=images["path"].map(claimed_placement),
    )
    rows = rows.sort_values("image_id", ignore_index=True)
    rows["review"] = rows["image_id"].map({image_id: entry.review for image_id, entry in reviews.items()})
    rows["reasons"] = [
        _overruled(reasons, review) for reasons, review in zip(apply_rules(rows, limits), rows["review"], strict=True)
    ]
    rows = _without_duplicates(rows, limits.dedup.max_hash_distance)
    rows["accepted"] = rows["reasons"].str.len() == 0
    rows["split"] = [
        split_of(image_id if pd.isna(person) else f"{person}", person, limits.split) if accepted else None
        for image_id, person, accepted in zip(rows["image_id"], rows["ffhq_id"], rows["accepted"], strict=True)
    ]
    return _only_selected(rows, limits.select)


def split_of(key: str, person: Any, split: SplitParams) -> str:
    """train, val or test: by FFHQ's own division where `split` names it, else by a digest of `key`.

    `person` is the FFHQ id or missing. The result for one image never depends on the other images.
    """
    if split.test_from_ffhq_id is not None and not pd.isna(person) and person >= split.test_from_ffhq_id:
        return "test"
    fraction = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / 2**64
    return "val" if fraction < split.val else "test" if fraction < split.val + split.test else "train"


def refuse_too_many_duplicates(rows: pd.DataFrame, limits: CurateParams) -> None:
    """Raise FacemaskError if near-duplicates are more than `dedup.max_removed` of a domain's otherwise good images.

    A faulty hash or a folder that was copied into the source would otherwise empty the data set unnoticed.
    """
    good = rows["accepted"] | rows["reasons"].map(lambda reasons: not set(reasons) - set(RELATIVE_REASONS))
    for domain, part in rows[good].groupby("domain"):
        duplicates = int(part["dup_of"].notna().sum())
        if duplicates > limits.dedup.max_removed * len(part):
            raise FacemaskError(
                f"{duplicates:,} of {len(part):,} {domain} images would go as near-duplicates, more than "
                f"curate.dedup.max_removed ({limits.dedup.max_removed}): look for copied folders, "
                "or raise it in params.yaml"
            )


def refuse_empty_domain(rows: pd.DataFrame) -> None:
    """Raise FacemaskError, with the most frequent reason, if no image of a domain was accepted."""
    for domain, part in rows.groupby("domain"):
        if not part["accepted"].any():
            reason, count = Counter(part["reasons"].explode()).most_common(1)[0]
            raise FacemaskError(
                f"none of {len(part):,} {domain} images was accepted (most often: {reason}, {count:,}): look at the "
                f"limits in params.yaml, block curate, and at the domains of its sources"
            )


def _overruled(reasons: list[str], review: str | None) -> list[str]:
    """The reasons after the review: `keep` removes them all, except that an unreadable image cannot be kept."""
    if review == "drop":
        return [*reasons, DROPPED_IN_REVIEW]
    if review == "keep" and "unreadable" not in reasons:
        return []
    return reasons


def _without_duplicates(rows: pd.DataFrame, max_hash_distance: int) -> pd.DataFrame:
    """`rows` with dup_of and dup_distance, and the reason `duplicate` for near-duplicates within a domain.

    Only images that pass everything else are compared. Of near-duplicates the best is kept: one kept by review, then
    the sharpest, the largest, the first by image_id.
    """
    rows = rows.assign(dup_of=None, dup_distance=pd.Series(pd.NA, rows.index, "Int8"))
    passing = rows[rows["reasons"].str.len() == 0]
    for _, part in passing.groupby("domain"):
        best_first = part.assign(
            kept_by_review=part["review"] == "keep", area=part["width"] * part["height"]
        ).sort_values(["kept_by_review", "sharpness", "area", "image_id"], ascending=[False, False, False, True])
        hashes, mirrored = (_hash_array(best_first[name]) for name in ("fine_hash", "fine_hash_mirrored"))
        found = find_duplicates(hashes, mirrored, max_hash_distance)
        is_duplicate = (found.kept >= 0) & ~best_first["kept_by_review"].to_numpy()
        removed, kept = best_first.index[is_duplicate], best_first.iloc[found.kept[is_duplicate]]
        rows.loc[removed, "dup_of"] = kept["image_id"].to_numpy()
        rows.loc[removed, "dup_distance"] = _distance_64(rows.loc[removed], kept)
        rows.loc[removed, "reasons"] = pd.Series([[DUPLICATE]] * len(removed), removed, dtype=object)
    return rows


def _only_selected(rows: pd.DataFrame, select: SelectParams) -> pd.DataFrame:
    """`rows` with the reason `not_selected`, and no split, for accepted images of a domain beyond its number."""
    rows = rows.copy()
    for domain, part in rows[rows["accepted"]].groupby("domain"):
        count = select.masked if domain == "masked" else select.unmasked
        if count is not None:
            left = part.index[~select_in_splits(part, count)]
            rows.loc[left, "accepted"] = False
            rows.loc[left, "split"] = None
            rows.loc[left, "reasons"] = pd.Series([[NOT_SELECTED]] * len(left), left, dtype=object)
    return rows


def _hash_array(column: pd.Series) -> NDArray[np.uint8]:
    """A column of N hashes of 32 bytes as (N, 32)."""
    return np.frombuffer(b"".join(column), np.uint8).reshape(-1, 32)


def _distance_64(duplicates: pd.DataFrame, kept: pd.DataFrame) -> NDArray[np.uint8]:
    """(N,) Hamming distances of the 64-bit hashes of duplicates, mirrored or not, to those of the kept images."""
    hashes = kept["phash"].to_numpy("uint64")
    sides = [duplicates[name].to_numpy("uint64") for name in ("phash", "phash_mirrored")]
    return np.asarray(np.minimum(*(np.bitwise_count(side ^ hashes) for side in sides)), np.uint8)
