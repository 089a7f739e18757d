"""The limits of params.yaml that can be moved on the page, as data: rules.py once more, for a browser to reckon with.

A test holds this table against rules.judge.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from pipeline.rules import CurateParams


@dataclass(frozen=True)
class Limit:
    """One limit: an image whose `value` lies beyond it is rejected for `reason`."""

    key: str  # in params.yaml's block curate
    value: str  # a measurement of the manifest, or one of: px (the shorter side), cover_plain (nose, mouth or face)
    side: Literal["min", "max"]
    reason: str
    low: float  # what it can be moved between
    high: float
    unit: str
    domain: str | None = None  # only images of it are asked
    size_only: bool = False  # of the value's size: -20 degrees and 20 are alike
    if_traced: bool = False  # only where cover_seen is at least min_cover_trace


def _cover(key: str, reason: str, *, if_traced: bool = False) -> Limit:
    side, value = key.split("_", 1)
    return Limit(key, value, "min" if side == "min" else "max", reason, 0, 1, "share", "masked", if_traced=if_traced)


LIMITS = (
    Limit("min_px", "px", "min", "too_small", 0, 1024, "px"),
    Limit("min_face_px", "face_px", "min", "too_small", 0, 800, "px"),
    Limit("max_yaw", "yaw", "max", "turned_away", 0, 90, "degrees", size_only=True),
    Limit("max_pitch", "pitch", "max", "turned_away", 0, 90, "degrees", size_only=True),
    Limit("max_roll", "roll", "max", "turned_away", 0, 180, "degrees", size_only=True),
    Limit("min_sharpness", "sharpness", "min", "blurred", 0, 60, "grey levels"),
    _cover("min_cover_seen", "no_mask"),
    _cover("min_cover_nose", "nose_uncovered", if_traced=True),
    _cover("min_cover_mouth", "mouth_uncovered", if_traced=True),
    _cover("min_cover_chin", "chin_uncovered", if_traced=True),
    _cover("max_cover_eyes", "eyes_covered"),
    _cover("min_cover_balance", "mask_misplaced", if_traced=True),
    Limit("max_cover_plain", "cover_plain", "max", "face_covered", 0, 1, "share", "unmasked"),
)


def told(limits: CurateParams) -> list[dict[str, Any]]:
    """The table with what each limit is now, for the page."""
    return [{**asdict(limit), "now": getattr(limits, limit.key)} for limit in LIMITS]
