"""data/review.csv: what a person said of single images, keep or drop, with a note. It goes before the rules.

Columns image_id, review, note. Entries of images that are not there, or not yet, stay: data may grow again.
"""

import csv
import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import FacemaskError
from pipeline.storage.files import replacing

REVIEW = Path("data/review.csv")
WORDS = ("keep", "drop")


@dataclass(frozen=True)
class Review:
    """A person's word on one image."""

    review: str  # keep or drop
    note: str = ""


def read_reviews(path: Path) -> dict[str, Review]:
    """image_id -> entry, in the file's order; none without a file. Raises FacemaskError for one that does not fit."""
    if not path.exists():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if not {"image_id", "review"} <= set(reader.fieldnames or ()):
            raise FacemaskError(f"{path} has no columns image_id and review: give it the header image_id,review,note")
        entries = {}
        for row in reader:
            if row["review"] not in WORDS:
                raise FacemaskError(f"{path}, line {reader.line_num}: review is {row['review']!r}: write keep or drop")
            entries[row["image_id"]] = Review(row["review"], row.get("note") or "")
    return entries


def change_reviews(path: Path, changes: dict[str, Review | None]) -> dict[str, Review]:
    """Put `changes` into the file, None taking an entry out, and give all entries that it has then.

    Only the images in `changes` are touched, and no other process changes the file meanwhile: so two people at two
    pages lose nothing of each other.
    """
    with _alone(path):
        entries = read_reviews(path)
        for image_id, entry in changes.items():
            if entry is None:
                entries.pop(image_id, None)
            else:
                entries[image_id] = entry
        with replacing(path) as beside, beside.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["image_id", "review", "note"])
            writer.writerows([image_id, entry.review, entry.note] for image_id, entry in entries.items())
        return entries


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One process, and one thread, at a time; the lock is the system's, and ends with whoever holds it."""
    with path.with_name(f".{path.name}.lock").open("a") as lock:  # beside it: wherever a writer was started
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
