"""Records of what the page shows: the facts for its script and the rows of its tables."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

import pandas as pd

from pipeline.curation.reviews import Review
from pipeline.curation.rules import CurateParams


class Figure(TypedDict):
    """An image that shows what the model does."""

    name: str
    caption: str
    image: str  # data: URL


class EvaluationRow(TypedDict):
    """One metric."""

    name: str
    better: str  # which values are good, in words; empty for what is no metric
    values: list[str]  # for each direction


class TrainingSection(TypedDict):
    """What the page shows of the model."""

    directions: list[str]  # columns of the evaluation's table
    evaluation: list[EvaluationRow]
    promotion: str  # which model is promoted, and what this one is; empty where none is registered
    facts: str  # the evaluation's other values, in one line
    losses: dict[str, list[list[float]]]  # name -> [images seen, value]
    pictures: list[Figure]


@dataclass(frozen=True)
class PageContent:
    """What a page is made from, besides its thumbnails."""

    rows: pd.DataFrame  # the manifest
    limits: CurateParams
    reviews: dict[str, Review]  # by image id
    licence: str  # of all these images
    folders: dict[str, Path] = field(default_factory=dict)  # source -> its folder, to show images at full size
    training: TrainingSection | None = None  # None: curation alone


class Thumbnail(TypedDict):
    """The sprite sheets' layout."""

    px: int  # side of a thumbnail
    columns: int  # of a sheet, which has as many rows


class PageFacts(TypedDict):
    """The JSON in the page's element `facts`, read by script/facts.js and by `facemask review`."""

    count: int  # images
    content: str  # digest of the image ids, under which the browser stores reviews
    reasons: tuple[str, ...]  # in the order of the bits in column `reasons`
    meanings: dict[str, str]  # reason, or accepted -> sentence
    limits: list[dict[str, Any]]  # limits.limit_facts
    minCoverWorn: float  # limits with needs_mask are applied from this cover_total on
    thumbnail: Thumbnail
    imagesPerChunk: int  # in a file of rows/
    regions: dict[str, list[int]]  # region -> positions of its corners in an image's points
    landmarkScale: float
    minSimilarity: float  # from which two images count as near-duplicates
    reviews: dict[str, dict[str, str]]  # image id -> review, note
    maxNote: int  # characters of a note
    folders: dict[str, str]  # source -> its folder, relative to the page
    expected: dict[str, tuple[str, ...]]  # label -> the verdicts that agree with it
    losses: dict[str, list[list[float]]]


class VerdictRow(TypedDict):
    """Images with one verdict, in one domain."""

    verdict: str
    domain: str
    count: int
    meaning: str


class SourceRow(TypedDict):
    """Images of one source."""

    source: str
    domain: str
    seen: int
    accepted: int


class ClaimRow(TypedDict):
    """Images with one label in their file name."""

    claim: str  # the label in the file name
    seen: int  # readable images
    accepted: int
    wrong: int  # images whose measurements contradict the label


class GroupRow(TypedDict):
    """Images of one group and domain."""

    group: str  # KIND: LABEL, its name in the gallery's filter
    label: str
    domain: str
    seen: int
    accepted: int
    low: float  # 95 % interval of the share of accepted images, 0-1
    high: float
    overall: float  # this share in the whole domain
    warned: bool  # a skin tone whose interval lies below the others' share


class GroupTable(TypedDict):
    """Groups of one kind."""

    name: str
    meaning: str
    rows: list[GroupRow]
