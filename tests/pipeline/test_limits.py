"""The page's table of limits against the rules themselves: whatever the limits, both see the same."""

from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest

from pipeline import params
from pipeline.page.limits import LIMITS, told
from pipeline.rules import CurateParams, judge
from tests.conftest import ROOT

NOW = params.load("curate", CurateParams, ROOT / "params.yaml")


def images(count=400, seed=0):
    """Measurements of all kinds, some missing as of an image without a face."""
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame(
        {limit.value: rng.uniform(limit.low, limit.high, count) for limit in LIMITS if limit.value != "px"}
    )
    for name in ("yaw", "pitch", "roll"):
        rows[name] *= rng.choice([-1, 1], count)
    rows["cover_face"] = rng.uniform(0, 1, count)
    rows["cover_seen"] *= rng.choice([0.003, 0.03, 1], count)
    rows["width"], rows["height"] = rng.integers(1, 1100, (2, count))
    rows["domain"] = rng.choice(["masked", "unmasked"], count)
    rows["faces"], rows["licence"] = 1, None
    without = rng.random(count) < 0.1
    rows.loc[without, [name for name in rows if name.startswith("cover") or name in ("yaw", "face_px")]] = np.nan
    return rows.drop(columns="cover_plain")


def by_the_table(rows, limits):
    """As the page's script reckons."""
    values = rows.assign(
        px=rows[["width", "height"]].min(axis=1),
        cover_plain=rows[["cover_nose", "cover_mouth", "cover_face"]].max(axis=1),
    )
    reasons = [set() for _ in range(len(rows))]
    for limit in LIMITS:
        value = values[limit.value].abs() if limit.size_only else values[limit.value]
        at = getattr(limits, limit.key)
        out = value < at if limit.side == "min" else value > at
        if limit.domain:
            out &= values["domain"] == limit.domain
        if limit.if_traced:
            out &= values["cover_seen"] >= limits.min_cover_trace
        for row in np.flatnonzero(out):
            reasons[row].add(limit.reason)
    return reasons


@pytest.mark.parametrize("seed", range(8))
def test_the_table_rejects_what_the_rules_reject_wherever_the_limits_are(seed):
    rng = np.random.default_rng(seed)
    moved = {limit.key: float(rng.uniform(limit.low + 0.01, limit.high)) for limit in LIMITS} if seed else {}
    moved |= {"min_px": round(moved["min_px"])} if moved else {}
    limits = replace(NOW, **moved)
    rows = images(seed=seed)
    reckoned = {limit.reason for limit in LIMITS}
    by_rules = [{reason for reason in reasons if reason in reckoned} for reasons in judge(rows, limits)]
    assert by_the_table(rows, limits) == by_rules


def test_each_limit_of_params_yaml_but_the_trace_can_be_moved():
    numbers = {field.name for field in fields(CurateParams) if field.name.startswith(("min_", "max_"))}
    assert {limit.key for limit in LIMITS} == numbers - {"min_cover_trace"}


def test_the_page_is_told_where_each_limit_is_now():
    assert {limit["key"]: limit["now"] for limit in told(NOW)}["min_cover_mouth"] == NOW.min_cover_mouth
