"""data/review.csv: which images a person wants kept or dropped, whatever the rules say.

Columns image_id, review (keep or drop) and note. Entries of images that are not in the data set stay, because the
images may come back.

A spreadsheet runs a cell that begins with one of = + - @ as a formula: such text is written with an apostrophe before
it. A file name may contain control characters, which editors and git change: in image ids they are written as \\xHH,
and \\ as \\\\. read_reviews undoes both. Notes may not contain control characters.
"""

import csv
import re
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import FacemaskError
from pipeline.storage.files import locked, replacing

REVIEWS = ("keep", "drop")
MAX_NOTE = 2000  # characters

_CONTROL = r"\x00-\x1f\x7f-\x9f\u2028\u2029"
_FORMULA = re.compile(r"'*[=+\-@]")
_ESCAPE = re.compile(r"\\(\\|x[0-9a-f]{2}|u[0-9a-f]{4})")


@dataclass(frozen=True)
class Review:
    """A person's decision on one image."""

    review: str  # keep or drop
    note: str = ""


def read_reviews(path: Path) -> dict[str, Review]:
    """image_id -> review, in the file's order; empty without a file.

    Raises FacemaskError, naming the line, for a file that is not such a table.
    """
    if not path.exists():
        return {}
    with path.open(encoding="utf-8-sig", newline="") as file:  # spreadsheets write a byte order mark
        reader = csv.DictReader(file)
        try:
            if not {"image_id", "review"} <= set(reader.fieldnames or ()):
                raise FacemaskError(
                    f"{path} has no columns image_id and review: give it the header image_id,review,note"
                )
            entries = {}
            for row in reader:
                if row["review"] not in REVIEWS:
                    raise FacemaskError(
                        f"{path}, line {reader.line_num}: review is {row['review']!r}: write keep or drop"
                    )
                image_id = _unescaped(_without_apostrophe(row["image_id"] or ""))
                entries[image_id] = Review(row["review"], _without_apostrophe(row.get("note") or ""))
        except (csv.Error, UnicodeDecodeError) as error:
            raise FacemaskError(
                f"{path}, after line {reader.line_num}, is not CSV in UTF-8 ({error}): correct it by hand"
            ) from error
    return entries


def change_reviews(path: Path, changes: dict[str, Review | None]) -> dict[str, Review]:
    """Apply `changes` (image_id -> review, None to remove it) to the file, and return all reviews that it then holds.

    The file is read and replaced under a lock, and other entries stay: two people on two pages do not overwrite each
    other. Raises FacemaskError for a note with a note_fault, and where the file cannot be read.
    """
    for entry in changes.values():
        if entry is not None and (fault := note_fault(entry.note)):
            raise FacemaskError(f"{path} was not changed: {fault}")
    with locked(path.with_name(f".{path.name}.lock")):
        entries = read_reviews(path)
        for image_id, entry in changes.items():
            if entry is None:
                entries.pop(image_id, None)
            else:
                entries[image_id] = entry
        with replacing(path) as beside, beside.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n")
            writer.writerow(["image_id", "review", "note"])
            writer.writerows(
                [_with_apostrophe(_escaped(image_id)), entry.review, _with_apostrophe(entry.note)]
                for image_id, entry in entries.items()
            )
        return entries


def note_fault(note: str) -> str | None:
    """Why a note cannot be saved, in one line; None for one that can."""
    if len(note) > MAX_NOTE:
        return f"a note may have {MAX_NOTE:,} characters, and this one has {len(note):,}: shorten it"
    if re.search(rf"[{_CONTROL}\ud800-\udfff]", note):
        return "a note may not contain line breaks, tabs or other control characters: replace them by spaces"
    return None


def _with_apostrophe(text: str) -> str:
    return f"'{text}" if _FORMULA.match(text) else text


def _without_apostrophe(text: str) -> str:
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


def _escaped(image_id: str) -> str:
    def escape(found: re.Match[str]) -> str:
        code = ord(found[0])
        return "\\\\" if found[0] == "\\" else f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"

    return re.sub(rf"[\\{_CONTROL}]", escape, image_id)


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda found: "\\" if found[1] == "\\" else chr(int(found[1][1:], 16)), text)
