"""The result of a survey: which share of the made pictures people call real, with its interval."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.curation.groups import wilson
from pipeline.report.survey.votes import Vote, read_votes, standing_votes
from pipeline.storage.files import write_json

STUDY = {"fooled": 0.4, "votes": 2200}
"""Of the original study."""
MAX_MISSED = 0.2
"""Who calls a larger share of the attention checks real is excluded."""

_MADE = {"mask": "masks put on", "unmask": "masks taken off"}
_REAL = {"mask": "with masks", "unmask": "without masks"}


Share = dict[str, float]
"""A share of votes, its 95 % interval (Wilson; `low`, `high`), each 0-1 to four digits, and the number of `votes`."""


def write_result(votes: Path, result: Path) -> dict[str, Any]:
    """Compute the result of all votes in the file, write it to `result`, and return it."""
    values = survey_result(read_votes(votes))
    write_json(result, values)
    return values


def survey_result(votes: Sequence[Vote]) -> dict[str, Any]:
    """The result as a metric of DVC: nested dictionaries of numbers and short texts, no lists; empty without votes.

    `real`: the share of the real pictures that were called real, which a perfect method would reach. Of a method whose
    checkpoint changed, only the votes about the latest one count.
    """
    if not votes:
        return {}
    standing = standing_votes(votes)
    people = attention(standing)
    left_out = {voter for voter, checks in people.items() if is_excluded(*checks)}
    counted = [vote for vote in standing if vote.voter not in left_out]
    made = [vote for vote in counted if vote.kind == "made"]
    latest = {vote.method: vote.checkpoint for vote in votes if vote.kind == "made"}  # in the file's order
    methods = {
        name: {"checkpoint": checkpoint}
        | _shares("fooled", [vote for vote in made if (vote.method, vote.checkpoint) == (name, checkpoint)])
        for name, checkpoint in sorted(latest.items())
    }
    real = _shares("called_real", [vote for vote in counted if vote.kind == "real"])
    return {
        "study": STUDY,
        "people": len(people) - len(left_out),
        "excluded": len(left_out),
        "real": real,
        "methods": methods,
    }


def is_excluded(missed: int, seen: int) -> bool:
    """Whether a person's votes do not count: too many attention checks called real, or none seen yet."""
    return not seen or missed / seen > MAX_MISSED


def attention(standing: Sequence[Vote]) -> dict[str, tuple[int, int]]:
    """Voter -> how many attention checks they called real, and how many they saw."""
    found: dict[str, tuple[int, int]] = {}
    for vote in standing:
        missed, seen = found.get(vote.voter, (0, 0))
        is_check = vote.kind == "check"
        found[vote.voter] = (missed + (is_check and vote.vote == "real"), seen + is_check)
    return found


def _shares(name: str, votes: Sequence[Vote]) -> dict[str, Share]:
    """The share of votes `real`, under a name, for each direction that has votes."""
    found: dict[str, Share] = {}
    for direction in _MADE:
        cast = [vote.vote == "real" for vote in votes if vote.direction == direction]
        if cast:
            low, high = wilson(sum(cast), len(cast))
            share = sum(cast) / len(cast)
            found[direction] = {
                name: round(share, 4),
                "low": round(low, 4),
                "high": round(high, 4),
                "votes": len(cast),
            }
    return found


def result_lines(result: dict[str, Any]) -> list[str]:
    """The result for a terminal."""
    study = f"the original study: {STUDY['fooled']:.0%} of {STUDY['votes']:,}"
    if not result:
        return ["no votes yet", study]
    lines = [
        f"counted: the votes of {_people(result['people'])}; excluded, for missed attention checks or none seen: "
        f"{_people(result['excluded'])}"
    ]
    for name, values in result["methods"].items():
        lines += [f"made by {name}, {_line(_MADE, one, values[one], 'fooled')}" for one in _MADE if one in values]
    real = result["real"]
    lines += [f"real, {_line(_REAL, one, real[one], 'called_real')}" for one in _REAL if one in real]
    return [*lines, study]


def _line(meanings: dict[str, str], direction: str, share: Share, name: str) -> str:
    return (
        f"{meanings[direction]}: {share[name]:.1%} of {share['votes']:,} called real "
        f"(95 %: {share['low']:.1%} to {share['high']:.1%})"
    )


def _people(count: int) -> str:
    return f"{count} {'person' if count == 1 else 'people'}"
