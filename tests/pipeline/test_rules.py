import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipeline import params
from pipeline.curation.reasons import REASON_NAMES, REASONS, apply_rules
from pipeline.curation.rules import CurateParams
from tests.conftest import ROOT

LIMITS = params.load("curate", CurateParams, ROOT / "params.yaml")

MEASURED = {
    "width": 1024, "height": 1024, "faces": 1, "yaw": 0.0, "pitch": 0.0, "roll": 0.0, "sharpness": 20.0,
    "noise": 1.0, "quality": 90, "brightness": 120.0, "face_px": 400.0, "frame_px": 800.0, "frame_inside": 1.0,
    "face_inside": 1.0, "licence": None,
}  # fmt: skip
WELL_MASKED = MEASURED | {
    "domain": "masked",
    "cover_nose": 1.0, "cover_mouth": 1.0, "cover_chin": 1.0, "cover_eyes": 0.0, "cover_face": 0.9, "cover_total": 0.3,
    "cover_symmetry": 1.0,
}  # fmt: skip
UNMASKED = MEASURED | {
    "domain": "unmasked",
    "cover_nose": 0.1, "cover_mouth": 0.1, "cover_chin": 0.9, "cover_eyes": 0.0, "cover_face": 0.0, "cover_total": 0.0,
    "cover_symmetry": 1.0,
}  # fmt: skip
NO_FACE = {
    name: None
    for name in (
        "yaw",
        "pitch",
        "roll",
        "sharpness",
        "noise",
        "brightness",
        "face_px",
        "frame_px",
        "frame_inside",
        "face_inside",
        *(n for n in UNMASKED if n.startswith("cover")),
    )
}
UNREADABLE = NO_FACE | {"width": None, "height": None, "faces": 0}


def frame(*rows):
    """A data frame of `rows`, with the column types of measured tables."""
    integers = {"width": "Int32", "height": "Int32", "faces": "Int8"}
    strings = {"domain": object, "licence": object}
    table = pd.DataFrame(list(rows))
    return table.astype({name: (integers | strings).get(name, "float32") for name in MEASURED | WELL_MASKED})


def reasons(row):
    return apply_rules(frame(row), LIMITS)[0]


@pytest.mark.parametrize("row", [WELL_MASKED, UNMASKED], ids=["masked", "unmasked"])
def test_a_good_image_has_no_reason(row):
    assert reasons(row) == []


@pytest.mark.parametrize(
    ("row", "change", "expected"),
    [
        (WELL_MASKED, UNREADABLE, ["unreadable"]),
        (WELL_MASKED, NO_FACE | {"faces": 0}, ["no_face"]),
        (WELL_MASKED, {"width": 100}, ["too_small"]),
        (WELL_MASKED, {"face_px": 20.0}, ["too_small"]),
        (WELL_MASKED, {"frame_px": 110.0}, ["too_small"]),
        (WELL_MASKED, {"faces": 2}, ["many_faces"]),
        (WELL_MASKED, {"frame_inside": 0.5}, ["face_truncated"]),
        (WELL_MASKED, {"face_inside": 0.8}, ["face_truncated"]),
        (WELL_MASKED, {"yaw": -60.0}, ["turned_away"]),
        (WELL_MASKED, {"pitch": 50.0}, ["turned_away"]),
        (WELL_MASKED, {"roll": -40.0}, ["turned_away"]),
        (WELL_MASKED, {"sharpness": 1.0}, ["blurred"]),
        (WELL_MASKED, {"cover_total": 0.0, "cover_nose": 0.0, "cover_mouth": 0.0}, ["no_mask"]),
        (WELL_MASKED, {"cover_total": 0.006, "cover_nose": 0.0}, ["no_mask", "nose_uncovered"]),
        (WELL_MASKED, {"cover_nose": 0.1}, ["nose_uncovered"]),
        (WELL_MASKED, {"cover_mouth": 0.5}, ["mouth_uncovered"]),
        (WELL_MASKED, {"cover_chin": 0.1}, ["chin_uncovered"]),
        (WELL_MASKED, {"cover_eyes": 0.9}, ["eyes_covered"]),
        (WELL_MASKED, NO_FACE | {"faces": 0, "cover_eyes": 0.9}, ["no_face", "eyes_covered"]),
        (WELL_MASKED, {"cover_symmetry": 0.01}, ["mask_misplaced"]),
        (UNMASKED, {"cover_nose": 1.0}, ["face_covered"]),
        (UNMASKED, {"cover_mouth": 1.0}, ["face_covered"]),
        (UNMASKED, {"cover_face": 0.5}, ["face_covered"]),
        (UNMASKED, {"cover_eyes": 1.0, "cover_chin": 1.0}, []),
        (UNMASKED, {"cover_nose": 0.9, "faces": 3}, ["many_faces", "face_covered"]),
    ],
)
def test_each_fault_gives_its_reason(row, change, expected):
    assert reasons(row | change) == expected


def test_a_refused_licence_gives_the_reason_licence():
    limits = params.build(
        "curate", _block() | {"refused_licences": ["all rights reserved"]}, CurateParams, ROOT / "params.yaml"
    )
    assert apply_rules(frame(UNMASKED | {"licence": "all rights reserved"}), limits) == [["licence"]]


def _block():
    return yaml.safe_load((ROOT / "params.yaml").read_text())["curate"]


def test_each_reason_with_a_rule_has_the_name_of_its_function():
    assert all(reason.rule is None or reason.rule.__name__ == reason.name for reason in REASONS)


def test_the_reasons_have_different_names_and_meanings():
    for values in (REASON_NAMES, [reason.meaning for reason in REASONS]):
        assert len(set(values)) == len(REASONS)


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
            **{name: share for name in UNMASKED if name.startswith("cover") or name.endswith("_inside")},
            **dict.fromkeys(
                ("sharpness", "noise", "brightness", "face_px", "frame_px"), st.none() | st.floats(0, 1e4, width=32)
            ),
            "quality": st.none() | st.integers(1, 100),
        }
    )
)
def test_an_unreadable_image_and_one_without_a_face_always_have_a_reason(row):
    found = reasons(row)
    if row["width"] is None or row["faces"] == 0:
        assert found
    assert found == [name for name in REASON_NAMES if name in found]
