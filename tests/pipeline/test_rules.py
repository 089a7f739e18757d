import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipeline import params
from pipeline.curation.rules import RULES, CurateParams, apply_rules
from pipeline.storage.manifest import REASONS
from tests.conftest import ROOT

LIMITS = params.load("curate", CurateParams, ROOT / "params.yaml")

SEEN = {
    "width": 1024, "height": 1024, "faces": 1, "yaw": 0.0, "pitch": 0.0, "roll": 0.0, "sharpness": 20.0,
    "brightness": 120.0, "face_px": 400.0, "licence": None,
}  # fmt: skip
WELL_MASKED = SEEN | {
    "domain": "masked",
    "cover_nose": 1.0, "cover_mouth": 1.0, "cover_chin": 1.0, "cover_eyes": 0.0, "cover_face": 0.9, "cover_seen": 0.3,
    "cover_balance": 1.0,
}  # fmt: skip
PLAIN = SEEN | {
    "domain": "unmasked",
    "cover_nose": 0.1, "cover_mouth": 0.1, "cover_chin": 0.9, "cover_eyes": 0.0, "cover_face": 0.0, "cover_seen": 0.0,
    "cover_balance": 1.0,
}  # fmt: skip
NO_FACE = {
    name: None
    for name in (
        "yaw",
        "pitch",
        "roll",
        "sharpness",
        "brightness",
        "face_px",
        *(n for n in PLAIN if n.startswith("cover")),
    )
}
UNREADABLE = NO_FACE | {"width": None, "height": None, "faces": 0}


def frame(*rows):
    """Rows with the column types that measured tables have in pandas."""
    whole = {"width": "Int32", "height": "Int32", "faces": "Int8"}
    words = {"domain": object, "licence": object}
    table = pd.DataFrame(list(rows))
    return table.astype({name: (whole | words).get(name, "float32") for name in SEEN | WELL_MASKED})


def reasons(row):
    return apply_rules(frame(row), LIMITS)[0]


@pytest.mark.parametrize("row", [WELL_MASKED, PLAIN], ids=["masked", "plain"])
def test_a_good_image_has_no_reason_against_it(row):
    assert reasons(row) == []


@pytest.mark.parametrize(
    ("row", "change", "expected"),
    [
        (WELL_MASKED, UNREADABLE, ["unreadable"]),
        (WELL_MASKED, NO_FACE | {"faces": 0}, ["no_face"]),
        (WELL_MASKED, {"width": 100}, ["too_small"]),
        (WELL_MASKED, {"face_px": 20.0}, ["too_small"]),
        (WELL_MASKED, {"faces": 2}, ["many_faces"]),
        (WELL_MASKED, {"yaw": -60.0}, ["turned_away"]),
        (WELL_MASKED, {"pitch": 50.0}, ["turned_away"]),
        (WELL_MASKED, {"roll": -40.0}, ["turned_away"]),
        (WELL_MASKED, {"sharpness": 1.0}, ["blurred"]),
        (WELL_MASKED, {"cover_seen": 0.0, "cover_nose": 0.0, "cover_mouth": 0.0}, ["no_mask"]),
        (WELL_MASKED, {"cover_seen": 0.006, "cover_nose": 0.0}, ["no_mask", "nose_uncovered"]),
        (WELL_MASKED, {"cover_nose": 0.1}, ["nose_uncovered"]),
        (WELL_MASKED, {"cover_mouth": 0.5}, ["mouth_uncovered"]),
        (WELL_MASKED, {"cover_chin": 0.1}, ["chin_uncovered"]),
        (WELL_MASKED, {"cover_eyes": 0.9}, ["eyes_covered"]),
        (WELL_MASKED, NO_FACE | {"faces": 0, "cover_eyes": 0.9}, ["no_face", "eyes_covered"]),
        (WELL_MASKED, {"cover_balance": 0.01}, ["mask_misplaced"]),
        (PLAIN, {"cover_nose": 1.0}, ["face_covered"]),
        (PLAIN, {"cover_mouth": 1.0}, ["face_covered"]),
        (PLAIN, {"cover_face": 0.5}, ["face_covered"]),
        (PLAIN, {"cover_eyes": 1.0, "cover_chin": 1.0}, []),
        (PLAIN, {"cover_nose": 0.9, "faces": 3}, ["many_faces", "face_covered"]),
    ],
)
def test_a_fault_gives_its_reason(row, change, expected):
    assert reasons(row | change) == expected


def test_a_refused_licence_gives_its_reason():
    limits = params.build(
        "curate", _block() | {"refused_licences": ["all rights reserved"]}, CurateParams, ROOT / "params.yaml"
    )
    assert apply_rules(frame(PLAIN | {"licence": "all rights reserved"}), limits) == [["licence"]]


def _block():
    return yaml.safe_load((ROOT / "params.yaml").read_text())["curate"]


def test_every_rule_s_name_is_a_reason_of_the_manifest():
    assert set(RULES) | {"duplicate", "dropped_in_review"} == set(REASONS)


share = st.none() | st.floats(0, 1, width=32)
degrees = st.none() | st.floats(-180, 180, width=32)


@given(
    st.fixed_dictionaries(
        {
            "domain": st.sampled_from(["masked", "unmasked"]),
            "width": st.none() | st.integers(1, 5000),
            "height": st.none() | st.integers(1, 5000),
            "faces": st.integers(0, 9),
            "licence": st.none() | st.text(),
            **{name: degrees for name in ("yaw", "pitch", "roll")},
            **{name: share for name in PLAIN if name.startswith("cover")},
            **{name: st.none() | st.floats(0, 1e4, width=32) for name in ("sharpness", "brightness", "face_px")},
        }
    )
)
def test_an_unreadable_image_and_one_without_a_face_are_never_accepted(row):
    found = reasons(row)
    if row["width"] is None or row["faces"] == 0:
        assert found
    assert set(found) <= set(REASONS)
