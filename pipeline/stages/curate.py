"""Stage `curate`: measured numbers into verdicts: data/manifest.parquet, a row for every image ever seen.

Beside it reports/curation.json (what was kept and why the rest was not) and reports/reasons.csv (the same as a plot).
"""

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from pipeline import params
from pipeline.curation.near_duplicates import find_duplicates
from pipeline.curation.reviews import REVIEW, Review, read_reviews
from pipeline.curation.rules import RULES, CurateParams, SplitParams, apply_rules
from pipeline.errors import FacemaskError
from pipeline.sources import file_names as names
from pipeline.sources.config import load_sources
from pipeline.storage.files import replacing, write_json
from pipeline.storage.manifest import (
    INDEX_SCHEMA,
    NUMBERS_SCHEMA,
    read_table,
    to_frame,
    write_manifest,
)

MANIFEST = Path("data/manifest.parquet")
REPORTS = Path("reports")


def curate() -> None:
    """Judge all sources of params.yaml."""
    limits = params.load("curate", CurateParams)
    images = pd.concat(
        [_source_images(name, source.domain) for name, source in load_sources().items()], ignore_index=True
    )
    rows = verdicts(images, limits, read_reviews(REVIEW))
    refuse_too_many_duplicates(rows, limits)
    refuse_empty_domain(rows)
    write_manifest(rows, MANIFEST)
    write_summary(rows, REPORTS)


def verdicts(images: pd.DataFrame, limits: CurateParams, reviews: dict[str, Review]) -> pd.DataFrame:
    """Judge measured images, in any order, and give the manifest's rows, ordered by image_id.

    `images` has the columns of manifest.NUMBERS_SCHEMA and INDEX_SCHEMA, and `source` and `domain`.
    """
    rows = images.assign(
        image_id=images["source"] + "/" + images["path"],
        ffhq_id=images["path"].map(names.ffhq_id).astype("Int32"),
        claimed=images["path"].map(names.claimed_placement),
    )
    rows = rows.sort_values("image_id", ignore_index=True)
    rows["review"] = rows["image_id"].map({image_id: entry.review for image_id, entry in reviews.items()})
    rows["reasons"] = _with_review(apply_rules(rows, limits), rows)
    rows = _without_duplicates(rows, limits)
    rows["accepted"] = rows["reasons"].str.len() == 0
    rows["split"] = [
        split_of(image_id if pd.isna(person) else f"{person}", person, limits.split) if accepted else None
        for image_id, person, accepted in zip(rows["image_id"], rows["ffhq_id"], rows["accepted"], strict=True)
    ]
    return rows


def split_of(key: str, ffhq_id: Any, split: SplitParams) -> str:
    """train, val or test, the same for ever: by FFHQ's line where there is one, else by a digest of `key`."""
    if split.test_from_ffhq_id is not None and not pd.isna(ffhq_id) and ffhq_id >= split.test_from_ffhq_id:
        return "test"
    place = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / 2**64
    return "val" if place < split.val else "test" if place < split.val + split.test else "train"


def summary(rows: pd.DataFrame) -> dict[str, Any]:
    """The counts that reports/curation.json holds."""
    reasons = Counter(rows["reasons"].explode().dropna())
    return {
        "seen": len(rows),
        "accepted": int(rows["accepted"].sum()),
        "rejected": int((~rows["accepted"]).sum()),
        "domains": {
            domain: {"seen": len(part), "accepted": int(part["accepted"].sum())}
            for domain, part in rows.groupby("domain")
        },
        "splits": {f"{domain}_{split}": len(part) for (domain, split), part in rows.groupby(["domain", "split"])},
        "reasons": {reason: reasons[reason] for reason in _REASONS if reasons[reason]},
    }


def write_summary(rows: pd.DataFrame, folder: Path) -> None:
    counts = summary(rows)
    write_json(folder / "curation.json", counts)
    reasons = rows[["domain", "reasons"]].explode("reasons").fillna({"reasons": "accepted"})
    table = reasons.groupby(["reasons", "domain"]).size().rename("images").reset_index()
    with replacing(folder / "reasons.csv") as beside:
        table.rename(columns={"reasons": "verdict"}).to_csv(beside, index=False)
    for domain, part in counts["domains"].items():
        print(f"curate: {domain}: {part['accepted']:,} of {part['seen']:,} images accepted", flush=True)
    told = ", ".join(f"{reason} {count:,}" for reason, count in counts["reasons"].items())
    print(f"curate: rejected for: {told or 'nothing'}", flush=True)


_REASONS = (*RULES, "duplicate", "dropped_in_review")


def _source_images(name: str, domain: str) -> pd.DataFrame:
    """Index and measurements of one source, joined; every indexed image has its row."""
    again = f"dvc repro measure@{name}"
    index = read_table(Path("data/raw") / name / "index.parquet", INDEX_SCHEMA, f"dvc repro fetch@{name}")
    folder = Path("data/measured") / name
    tables = [read_table(path, NUMBERS_SCHEMA, again) for path in sorted(folder.glob("*.parquet"))]
    measured = to_frame(pa.concat_tables(tables or [NUMBERS_SCHEMA.empty_table()]))
    attribution = index.select(["path", "licence", "author", "url"]).to_pandas()
    images = measured.merge(attribution, on="path", how="inner", validate="1:1")
    if not len(images) == len(measured) == index.num_rows:
        raise FacemaskError(f"data/measured/{name} is not of what lies in data/raw/{name}: run '{again}'")
    return images.assign(source=name, domain=domain)


def _with_review(reasons: list[list[str]], rows: pd.DataFrame) -> list[list[str]]:
    """A person's word goes before the rules, save that what cannot be read cannot be kept."""
    return [
        ["dropped_in_review", *against]
        if review == "drop"
        else []
        if review == "keep" and "unreadable" not in against
        else against
        for against, review in zip(reasons, rows["review"], strict=True)
    ]


def _without_duplicates(rows: pd.DataFrame, limits: CurateParams) -> pd.DataFrame:
    """Seek near-duplicates among the images that pass all else, within a domain; best first, as dedup wants them."""
    rows = rows.assign(dup_of=None, dup_distance=pd.Series(pd.NA, rows.index, "Int8"))
    passing = rows[rows["reasons"].str.len() == 0]
    for _, part in passing.groupby("domain"):
        best_first = part.assign(
            kept_by_review=part["review"] == "keep", area=part["width"] * part["height"]
        ).sort_values(["kept_by_review", "sharpness", "area", "image_id"], ascending=[False, False, False, True])
        found = find_duplicates(
            _fine(best_first["fine_hash"]), _fine(best_first["fine_hash_mirrored"]), limits.dedup.max_bits
        )
        repeats = (found.kept >= 0) & ~best_first["kept_by_review"].to_numpy()
        at, kept = best_first.index[repeats], best_first.iloc[found.kept[repeats]]
        rows.loc[at, "dup_of"] = kept["image_id"].to_numpy()
        rows.loc[at, "dup_distance"] = _coarse_distance(rows.loc[at], kept)
        rows.loc[at, "reasons"] = pd.Series([["duplicate"]] * len(at), at, dtype=object)
    return rows


def _fine(column: pd.Series) -> NDArray[np.uint8]:
    """A column of 32-byte hashes as (N, 32)."""
    return np.frombuffer(b"".join(column), np.uint8).reshape(-1, 32)


def _coarse_distance(repeats: pd.DataFrame, kept: pd.DataFrame) -> NDArray[np.uint8]:
    """Hamming bits of 64 between images and those that they repeat, mirrored or not."""
    hashes = kept["phash"].to_numpy("uint64")
    sides = [repeats[name].to_numpy("uint64") for name in ("phash", "phash_mirrored")]
    return np.asarray(np.minimum(*(np.bitwise_count(side ^ hashes) for side in sides)), np.uint8)


def refuse_too_many_duplicates(rows: pd.DataFrame, limits: CurateParams) -> None:
    """A guard: should a wrong hash or a copied folder eat a data set, nothing is written."""
    for domain, part in rows[rows["accepted"] | rows["dup_of"].notna()].groupby("domain"):
        repeats = int(part["dup_of"].notna().sum())
        if repeats > limits.dedup.max_removed * len(part):
            raise FacemaskError(
                f"{repeats:,} of {len(part):,} {domain} images would go as near-duplicates, more than "
                f"curate.dedup.max_removed ({limits.dedup.max_removed}): look for copied folders, "
                "or raise it in params.yaml"
            )


def refuse_empty_domain(rows: pd.DataFrame) -> None:
    for domain, part in rows.groupby("domain"):
        if not part["accepted"].any():
            reason, count = Counter(part["reasons"].explode()).most_common(1)[0]
            raise FacemaskError(
                f"none of {len(part):,} {domain} images was accepted (most often: {reason}, {count:,}): look at the "
                f"limits in params.yaml, block curate, and at the domains of its sources"
            )
