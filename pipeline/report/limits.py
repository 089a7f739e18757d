"""The thresholds of params.yaml as data, so that the page can evaluate the curation rules in the browser.

A test checks that this table and pipeline/curation/rules.py reject the same images.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from pipeline.curation.rules import CurateParams


@dataclass(frozen=True)
class Limit:
    """One threshold: an image is rejected for `reason` if its `measurement` is beyond it."""

    key: str  # in block `curate` of params.yaml
    measurement: str  # a column, shortest_side (of image and training crop), or cover_highest (nose, mouth, face)
    side: Literal["min", "max"]
    reason: str  # a name in curation/reasons.py
    low: float  # range of the slider
    high: float
    unit: str  # empty for shares of an area
    domain: str | None = None  # applies to this domain only
    absolute: bool = False  # compares the absolute value
    needs_mask: bool = False  # applies only where cover_total is at least min_cover_worn


def _coverage(key: str, reason: str, *, needs_mask: bool = False) -> Limit:
    """A limit on a share that a mask covers, for the masked domain."""
    side: Literal["min", "max"] = "min" if key.startswith("min") else "max"
    return Limit(key, key[4:], side, reason, 0, 1, "", "masked", needs_mask=needs_mask)


LIMITS = (
    Limit("min_px", "shortest_side", "min", "too_small", 0, 1024, "px"),
    Limit("min_face_px", "face_px", "min", "too_small", 0, 800, "px"),
    Limit("min_frame_inside", "frame_inside", "min", "face_truncated", 0, 1, ""),
    Limit("min_face_inside", "face_inside", "min", "face_truncated", 0, 1, ""),
    Limit("max_yaw", "yaw", "max", "turned_away", 0, 90, "degrees", absolute=True),
    Limit("max_pitch", "pitch", "max", "turned_away", 0, 90, "degrees", absolute=True),
    Limit("max_roll", "roll", "max", "turned_away", 0, 180, "degrees", absolute=True),
    Limit("min_sharpness", "sharpness", "min", "blurred", 0, 60, "grey levels"),
    _coverage("min_cover_total", "no_mask"),
    _coverage("min_cover_nose", "nose_uncovered", needs_mask=True),
    _coverage("min_cover_mouth", "mouth_uncovered", needs_mask=True),
    _coverage("min_cover_chin", "chin_uncovered", needs_mask=True),
    _coverage("max_cover_eyes", "eyes_covered"),
    _coverage("min_cover_symmetry", "mask_misplaced", needs_mask=True),
    Limit("max_cover_unmasked", "cover_highest", "max", "face_covered", 0, 1, "", "unmasked"),
)


def limit_facts(params: CurateParams) -> list[dict[str, Any]]:
    """LIMITS with the thresholds of `params`, for the page's script."""
    return [{**asdict(limit), "threshold": getattr(params, limit.key)} for limit in LIMITS]
