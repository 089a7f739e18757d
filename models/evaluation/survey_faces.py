"""Selects the test faces of a survey. No person is shown twice: a second picture would reveal the fake."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from models.params import Direction
from pipeline.errors import FacemaskError
from pipeline.storage.packed_arrays import DOMAINS, PackedSet

SOURCE_DOMAIN: dict[Direction, str] = {"mask": "unmasked", "unmask": "masked"}
"""The faces that a direction is applied to."""
TARGET_DOMAIN: dict[Direction, str] = {"mask": "masked", "unmask": "unmasked"}
"""The real faces that its results should resemble, among which they are shown."""

_PICTURES_A_CHECK = 20  # pictures for one attention check
_MIN_CHECKS = 3


class Task(NamedTuple):
    """One method in one direction."""

    method: int  # its place in the survey
    direction: Direction


@dataclass(frozen=True)
class Dealt:
    """One face, and what is shown of it."""

    kind: Literal["real", "made", "check"]
    direction: Direction
    domain: str  # of the face
    index: int  # in the packed test set of that domain
    method: int | None = None  # that changes it


def deal_faces(
    tests: dict[str, PackedSet], eligible: dict[str, list[int]], tasks: Sequence[Task], count: int, seed: int
) -> list[Dealt]:
    """Deal out the eligible test faces of both domains, at random by the seed.

    `count` faces for each task, equally many real ones in each direction, and attention checks; fewer where there are
    too few persons, then equally few for each task. Raises FacemaskError if there is not one for each.
    """
    take = _taker(tests, eligible, np.random.default_rng(seed))
    persons = len({_person(tests[domain], index) for domain in DOMAINS for index in eligible[domain]})
    pictures = min(2 * count * len(tasks), persons)
    dealt: list[Dealt] = []
    for place in range(max(_MIN_CHECKS, round(pictures / _PICTURES_A_CHECK))):
        direction: Direction = "mask" if place % 2 else "unmask"
        dealt += _all_or_none([Dealt("check", direction, TARGET_DOMAIN[direction], -1)], take)
    checks = len(dealt)
    for _ in range(count):
        wanted = [
            one
            for task in tasks
            for one in (
                Dealt("made", task.direction, SOURCE_DOMAIN[task.direction], -1, task.method),
                Dealt("real", task.direction, TARGET_DOMAIN[task.direction], -1),
            )
        ]
        given = _all_or_none(wanted, take)
        if not given:
            break
        dealt += given
    if checks < _MIN_CHECKS or len(dealt) == checks:
        raise FacemaskError(
            f"the test set has {len(eligible['unmasked'])} unmasked and {len(eligible['masked'])} masked faces, "
            "too few for this survey: name fewer checkpoints, or add test faces"
        )
    return dealt


def _all_or_none(wanted: list[Dealt], take: Callable[[str], int | None]) -> list[Dealt]:
    """The same with faces; empty if there are not enough."""
    given = []
    for one in wanted:
        index = take(one.domain)
        if index is None:
            return []
        given.append(Dealt(one.kind, one.direction, one.domain, index, one.method))
    return given


def _taker(
    tests: dict[str, PackedSet], eligible: dict[str, list[int]], rng: np.random.Generator
) -> Callable[[str], int | None]:
    """A function: domain -> the index of a face of a person who was not taken yet; None if there is none."""
    left: dict[str, list[int]] = {
        domain: [eligible[domain][place] for place in rng.permutation(len(eligible[domain]))] for domain in DOMAINS
    }
    taken: set[Hashable] = set()

    def take(domain: str) -> int | None:
        while left[domain]:
            index = left[domain].pop()
            person = _person(tests[domain], index)
            if person not in taken:
                taken.add(person)
                return index
        return None

    return take


def _person(packed: PackedSet, index: int) -> Hashable:
    """Who is shown, as far as it is known."""
    known = packed.ffhq_ids[index]
    return packed.image_ids[index] if known is None else known
