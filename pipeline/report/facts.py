"""Records of what the page shows: the facts for its script, and the rows of its tables."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

import pandas as pd

from pipeline.curation.reviews import Review
from pipeline.curation.rules import CurateParams


class Figure(TypedDict):
    """A picture of the trained model's work."""

    name: str
    caption: str
    image: str  # data: URL


class Training(TypedDict):
    """What the page shows of the model."""

    directions: list[str]  # columns of the evaluation's table
    evaluation: list[tuple[str, list[str]]]  # its rows: metric, value for each direction
    facts: str  # the evaluation's other figures, a line
    losses: dict[str, list[list[float]]]  # name -> [images seen, value]
    pictures: list[Figure]


@dataclass(frozen=True)
class PageContent:
    """What a page is made from, besides its thumbnails."""

    rows: pd.DataFrame  # the manifest
    limits: CurateParams
    reviews: dict[str, Review]  # by image id
    folders: dict[str, Path] = field(default_factory=dict)  # of sources with plain files, to show at full size
    training: Training | None = None  # None: curation alone


class Thumbnail(TypedDict):
    px: int  # side
    columns: int  # of a sheet, which has as many rows


class PageFacts(TypedDict):
    """The JSON in the page's element `facts`, read by script/facts.js and by `facemask review`."""

    count: int  # images
    content: str  # digest of the image ids: choices that the browser stores belong to it
    reasons: tuple[str, ...]  # in the order of the bits in column `reasons`
    meanings: dict[str, str]  # reason, or accepted -> sentence
    limits: list[dict[str, Any]]  # limits.limit_facts
    minMaskCoverage: float  # limits that need a mask are only applied from this cover_seen on
    thumbnail: Thumbnail
    imagesPerChunk: int  # in a file of rows/
    regions: dict[str, list[int]]  # region -> places of its corners in an image's points
    landmarkScale: float
    reviews: dict[str, dict[str, str]]  # image id -> review, note
    folders: dict[str, str]  # source -> its folder, relative to the page
    losses: dict[str, list[list[float]]]


class VerdictRow(TypedDict):
    verdict: str
    domain: str
    count: int
    meaning: str


class SourceRow(TypedDict):
    source: str
    domain: str
    seen: int
    accepted: int


class ClaimRow(TypedDict):
    claim: str  # the label in the file name
    seen: int  # readable images
    accepted: int
    wrong: int  # images whose measurements contradict the label
