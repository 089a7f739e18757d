"""Counts of a manifest: reports/curation.json, reports/reasons.csv and the printed lines."""

from collections import Counter
from pathlib import Path
from typing import TypedDict

import pandas as pd

from pipeline.curation.groups import write_groups
from pipeline.curation.reasons import REASON_NAMES
from pipeline.storage.files import replacing, write_json


class DomainCounts(TypedDict):
    """Images of one domain."""

    seen: int
    accepted: int


class Summary(TypedDict):
    """What curation.json holds: numbers of images."""

    seen: int
    accepted: int
    rejected: int
    domains: dict[str, DomainCounts]
    splits: dict[str, int]  # DOMAIN_SPLIT -> accepted images
    reasons: dict[str, int]  # an image may count for more than one; reasons that do not occur are left out


def summarize(rows: pd.DataFrame) -> Summary:
    """Count the manifest's rows."""
    reasons = Counter(rows["reasons"].explode().dropna())
    return {
        "seen": len(rows),
        "accepted": int(rows["accepted"].sum()),
        "rejected": int((~rows["accepted"]).sum()),
        "domains": {
            str(domain): {"seen": len(part), "accepted": int(part["accepted"].sum())}
            for domain, part in rows.groupby("domain", observed=True)
        },
        "splits": {
            f"{domain}_{split}": len(part) for (domain, split), part in rows.groupby(["domain", "split"], observed=True)
        },
        "reasons": {name: reasons[name] for name in REASON_NAMES if reasons[name]},
    }


def write_summary(rows: pd.DataFrame, folder: Path) -> None:
    """Write curation.json, reasons.csv (verdict, domain, images: the plot's data) and groups.csv; print the counts."""
    summary = summarize(rows)
    write_json(folder / "curation.json", summary)
    reasons = rows[["domain", "reasons"]].explode("reasons").fillna({"reasons": "accepted"})
    table = reasons.groupby(["reasons", "domain"]).size().rename("images").reset_index()
    with replacing(folder / "reasons.csv") as beside:
        table.rename(columns={"reasons": "verdict"}).to_csv(beside, index=False)
    for domain, part in summary["domains"].items():
        print(f"curate: {domain}: {part['accepted']:,} of {part['seen']:,} images accepted", flush=True)
    counts = ", ".join(f"{reason} {count:,}" for reason, count in summary["reasons"].items())
    print(f"curate: rejected for: {counts or 'nothing'}", flush=True)
    write_groups(rows, folder)
