"""Verdicts: measured images and reviews in, the rows of the manifest out.

A review overrules the rules; near-duplicates are removed among the images that pass; what is left is split into train,
val and test by person and photo; of each split the best and most varied images are selected, if params.yaml says how
many.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from numpy.typing import NDArray

from pipeline.curation.near_duplicates import Fingerprints, ImageHashes, find_duplicates, find_pairs
from pipeline.curation.reasons import DROPPED_IN_REVIEW, DUPLICATE, NOT_SELECTED, apply_rules, passes_all_rules
from pipeline.curation.reviews import Review
from pipeline.curation.rules import CurateParams, DedupParams, SelectParams
from pipeline.curation.selection import select_in_splits
from pipeline.curation.splits import assign_splits
from pipeline.errors import FacemaskError
from pipeline.sources.file_names import claimed_placement, ffhq_id
from pipeline.storage.licences import image_licences

_SAME_SIZE = 0.9  # of the largest face's height in a cluster of copies: the landmarker's errors are below a tenth
_GOOD_QUALITY = 90  # of a JPEG: a higher one is not visible, and a copy of a copy may have it


@dataclass(frozen=True)
class MeasuredImages:
    """The measurements of N images, and what near-duplicates are found by."""

    numbers: pd.DataFrame
    """Columns of NUMBERS_SCHEMA, and source, its kind, domain, of_ffhq (file_names.py), licence, author and url."""
    patches: NDArray[np.uint8]  # (N, PATCH_PX, PATCH_PX), in the same order


def join(parts: Sequence[MeasuredImages]) -> MeasuredImages:
    """The images of all parts, of which there is one or more."""
    numbers = pd.concat([part.numbers for part in parts], ignore_index=True)
    return MeasuredImages(numbers, np.concatenate([part.patches for part in parts]))


def manifest_rows(images: MeasuredImages, limits: CurateParams, reviews: dict[str, Review]) -> pd.DataFrame:
    """The manifest's rows, ordered by image_id, of measured images in any order; `reviews` are by image_id."""
    numbers = images.numbers
    names = list(zip(numbers["path"], numbers["of_ffhq"], strict=True))
    rows = numbers.assign(
        image_id=numbers["source"] + "/" + numbers["path"],
        ffhq_id=pd.array([ffhq_id(path, of_ffhq=known) for path, known in names], "Int32"),
        claimed=[claimed_placement(path, of_ffhq=known) for path, known in names],
        patch=np.arange(len(numbers)),
    )
    rows = rows.sort_values("image_id", ignore_index=True)
    rows["licence"] = image_licences(rows)
    rows["review"] = rows["image_id"].map({image_id: entry.review for image_id, entry in reviews.items()})
    rows["reasons"] = [
        _overruled(reasons, review) for reasons, review in zip(apply_rules(rows, limits), rows["review"], strict=True)
    ]
    rows = _without_duplicates(rows, images.patches, limits.dedup)
    rows["accepted"] = rows["reasons"].str.len() == 0
    accepted = rows[rows["accepted"]]
    same_photo = _same_photo(accepted.reset_index(drop=True), images.patches, limits.dedup)
    rows["split"] = pd.Series(assign_splits(accepted, same_photo, limits.split), accepted.index, dtype=object)
    return _only_selected(rows, limits.select)


def refuse_too_many_duplicates(rows: pd.DataFrame, limits: CurateParams) -> None:
    """Raise FacemaskError if near-duplicates are more than `dedup.max_removed` of a domain's otherwise good images.

    A faulty hash or a folder that was copied into the source would otherwise empty the data set unnoticed.
    """
    good = passes_all_rules(rows)
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


def _without_duplicates(rows: pd.DataFrame, patches: NDArray[np.uint8], limits: DedupParams) -> pd.DataFrame:
    """`rows` with dup_of and dup_similarity, the reason `duplicate` for copies, and their `cluster`'s number.

    Only images of a domain that pass everything else are compared. The best copy is kept, and what a review keeps.
    """
    rows = rows.assign(dup_of=None, dup_similarity=np.float32(np.nan), cluster=np.arange(len(rows)))
    passing = rows[rows["reasons"].str.len() == 0]
    for _, part in passing.groupby("domain"):
        largest_first = part.sort_values(["face_px", "image_id"], ascending=[False, True])
        found = find_duplicates(_fingerprints(largest_first, patches), limits)
        firsts = np.where(found.first < 0, np.arange(len(found.first)), found.first)
        rows.loc[largest_first.index, "cluster"] = largest_first["cluster"].to_numpy()[firsts]
        rows.loc[largest_first.index, "dup_similarity"] = found.similarity
    best_first = _best_copies_first(rows.loc[passing.index])
    best = best_first.drop_duplicates("cluster").set_index("cluster")
    copies = best_first[best_first.duplicated("cluster")]
    removed = copies[copies["review"] != "keep"]
    kept_instead = best.loc[removed["cluster"]]
    rows.loc[removed.index, "dup_of"] = kept_instead["image_id"].to_numpy()
    # A cluster's first image has no similarity to itself: that of the image kept instead is the same number.
    similarity = removed["dup_similarity"].fillna(pd.Series(kept_instead["dup_similarity"].to_numpy(), removed.index))
    rows["dup_similarity"] = similarity.reindex(rows.index)
    rows.loc[removed.index, "reasons"] = pd.Series([[DUPLICATE]] * len(removed), removed.index, dtype=object)
    return rows


def _best_copies_first(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with the best copy of each cluster before the others.

    It is one kept by review; then one with the most pixels in its face; then the best file; then the sharpest for its
    noise (docs/curation.md compares ways to weigh the two); then the first by image_id.
    """
    largest = rows.groupby("cluster")["face_px"].transform("max")
    # A brightened copy has more of both and is no better: the power cancels what its brightness adds (metrics.py).
    clarity = rows["sharpness"] / np.sqrt(rows["noise"].clip(lower=0.01)) / rows["brightness"].clip(lower=1) ** 0.25
    ordered = rows.assign(
        kept=rows["review"] == "keep",
        large=rows["face_px"] >= _SAME_SIZE * largest,
        file=rows["quality"].clip(upper=_GOOD_QUALITY),
        clarity=clarity.fillna(0),
    )
    return ordered.sort_values(["kept", "large", "file", "clarity", "image_id"], ascending=[False] * 4 + [True])


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


def _same_photo(accepted: pd.DataFrame, patches: NDArray[np.uint8], limits: DedupParams) -> NDArray[np.int64]:
    """(M, 2) pairs of accepted images that show one photo: copies kept by review, and a face with and without a mask.

    `accepted` has the index 0, 1, ..., by which the pairs are.
    """
    positions = pd.Series(accepted.index, accepted.index)
    first_of_cluster = positions.groupby(accepted["cluster"]).transform("first")
    copies = np.column_stack([first_of_cluster, positions])
    domains = [part for _, part in accepted.groupby("domain")]
    if len(domains) < 2:
        return copies
    one, other = domains
    twins = find_pairs(_fingerprints(one, patches), _fingerprints(other, patches), limits)
    return np.concatenate([copies, np.column_stack([one.index[twins[:, 0]], other.index[twins[:, 1]]])])


def _fingerprints(rows: pd.DataFrame, patches: NDArray[np.uint8]) -> Fingerprints:
    """The fingerprints of rows, in their order."""
    photo, face = (
        ImageHashes(*(_bytes_array(rows[name], np.uint8) for name in (f"{kind}_hash", f"{kind}_hash_mirrored")))
        for kind in ("fine", "face")
    )
    frames = _bytes_array(rows["patch_frame"], np.dtype("<f4")).reshape(-1, 2, 3)
    return Fingerprints(photo, face, patches[rows["patch"].to_numpy()], frames)


def _bytes_array(column: pd.Series, dtype: npt.DTypeLike) -> NDArray[Any]:
    """A column of N byte strings of one length as (N, values)."""
    return np.frombuffer(b"".join(column), dtype).reshape(len(column), -1)
