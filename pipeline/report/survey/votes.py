"""data/survey.jsonl: the votes of `facemask survey`, a line of JSON for each. Lines are only ever added.

A line says what the picture was, so that the file is enough to compute the result. A vote that was taken back stays,
and a line with the vote `undone` follows it: of one person's lines about one picture the last one counts.
"""

import json
import os
import re
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from pipeline.errors import FacemaskError
from pipeline.params import STRICT
from pipeline.storage.files import locked

MAX_VOTER = 40  # characters

Kind = Literal["real", "made", "check"]
"""A picture of the test set as it is; one that a method made of it; an attention check, which nobody takes for real."""
Direction = Literal["mask", "unmask"]
"""What was done to a made picture: its face has a mask now, or has none. A real one is like those."""
Choice = Literal["real", "made"]


@dataclass(frozen=True, config=STRICT)
class Vote:
    """One line of the file."""

    voter: Annotated[str, Field(min_length=1, max_length=MAX_VOTER)]
    picture: Annotated[str, Field(pattern="^[0-9a-f]{16}$")]
    kind: Kind
    direction: Direction
    method: str  # that made the picture; empty for other kinds
    checkpoint: str  # first 12 hex digits of the sha256 of the method's checkpoint.json; of its code, for drawings
    vote: Choice | Literal["undone"]
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]  # for which the picture was seen


_VOTE = TypeAdapter(Vote)


def read_votes(path: Path) -> list[Vote]:
    """All lines, in the file's order; none without a file. Raises FacemaskError, naming the line, for a damaged one."""
    if not path.exists():
        return []
    votes = []
    for number, line in enumerate(path.read_bytes().split(b"\n"), 1):
        if line.strip():
            try:
                votes.append(_VOTE.validate_json(line))
            except ValidationError as error:
                first = error.errors()[0]
                what = ".".join(map(str, first["loc"])) or "the line"
                raise FacemaskError(
                    f"{path}, line {number} is not a vote ({what}: {first['msg']}): delete this line, the others stay"
                ) from error
    return votes


def append_vote(path: Path, vote: Vote) -> None:
    """Add a line, and flush it to disk."""
    text = json.dumps(asdict(vote), ensure_ascii=False) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.with_name(f".{path.name}.lock")), path.open("a+b") as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":  # the last line was written by hand, or not to its end
                text = f"\n{text}"
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())


def standing_votes(votes: Iterable[Vote]) -> list[Vote]:
    """The votes that count: each person's last about each picture, oldest first, without what was taken back."""
    standing: dict[tuple[str, str], Vote] = {}
    for vote in votes:
        key = (vote.voter, vote.picture)
        standing.pop(key, None)
        if vote.vote != "undone":
            standing[key] = vote
    return list(standing.values())


def voter_name(text: str) -> str:
    """A name as it is saved: small letters, single spaces. Raises ValueError, for the page, for none or a long one."""
    name = " ".join(re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]", " ", text).split()).casefold()
    if not name:
        raise ValueError("type your name or initials")
    if len(name) > MAX_VOTER:
        raise ValueError(f"a name may have {MAX_VOTER} characters: use initials")
    return name
