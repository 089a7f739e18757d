"""The page's limits and the curation rules reject the same images, for any thresholds."""

from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest

from pipeline import params
from pipeline.curation.reasons import REASONS, apply_rules
from pipeline.curation.rules import CurateParams
from pipeline.report.limits import LIMITS, limit_facts
from tests.conftest import ROOT

NOW = params.load("curate", CurateParams, ROOT / "params.yaml")


def images(count=400, seed=0):
    """Random measurements; some are missing, as for an image without a face."""
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame({limit.measurement: rng.uniform(limit.low, limit.high, count) for limit in LIMITS})
    for name in ("yaw", "pitch", "roll"):
        rows[name] *= rng.choice([-1, 1], count)
    rows["cover_face"] = rng.uniform(0, 1, count)
    rows["cover_total"] *= rng.choice([0.003, 0.03, 1], count)
    rows["width"], rows["height"], rows["frame_px"] = rng.integers(1, 1100, (3, count))
    rows["domain"] = rng.choice(["masked", "unmasked"], count)
    rows["faces"], rows["licence"] = 1, None
    without = rng.random(count) < 0.1
    rows.loc[without, [name for name in rows if name.startswith("cover") or name in ("yaw", "face_px", "frame_px")]] = (
        np.nan
    )
    return rows.drop(columns=["shortest_side", "cover_highest"])


def reasons_by_limits(rows, limits):
    """Each image's reasons as script/rules.js evaluates them."""
    values = rows.assign(
        shortest_side=rows[["width", "height", "frame_px"]].min(axis=1),
        cover_highest=rows[["cover_nose", "cover_mouth", "cover_face"]].max(axis=1),
    )
    reasons = [set() for _ in range(len(rows))]
    for limit in LIMITS:
        value = values[limit.measurement].abs() if limit.absolute else values[limit.measurement]
        at = getattr(limits, limit.key)
        out = value < at if limit.side == "min" else value > at
        if limit.domain:
            out &= values["domain"] == limit.domain
        if limit.needs_mask:
            out &= values["cover_total"] >= limits.min_cover_worn
        for row in np.flatnonzero(out):
            reasons[row].add(limit.reason)
    return reasons


@pytest.mark.parametrize("seed", range(8))
def test_the_limits_and_the_rules_reject_the_same_images(seed):
    rng = np.random.default_rng(seed)
    moved = {limit.key: float(rng.uniform(limit.low + 0.01, limit.high)) for limit in LIMITS} if seed else {}
    moved |= {"min_px": round(moved["min_px"])} if moved else {}
    limits = replace(NOW, **moved)
    rows = images(seed=seed)
    limited = {limit.reason for limit in LIMITS}
    by_rules = [{reason for reason in reasons if reason in limited} for reasons in apply_rules(rows, limits)]
    assert reasons_by_limits(rows, limits) == by_rules


def test_each_threshold_of_params_yaml_except_min_cover_worn_has_a_limit():
    numbers = {field.name for field in fields(CurateParams) if field.name.startswith(("min_", "max_"))}
    assert {limit.key for limit in LIMITS} == numbers - {"min_cover_worn"}


def test_each_limit_belongs_to_a_reason_with_a_rule():
    assert {limit.reason for limit in LIMITS} <= {reason.name for reason in REASONS if reason.rule}


def test_limit_facts_have_the_thresholds_of_params_yaml():
    assert {limit["key"]: limit["threshold"] for limit in limit_facts(NOW)}["min_cover_mouth"] == NOW.min_cover_mouth
