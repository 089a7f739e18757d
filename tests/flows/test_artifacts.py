"""What a run shows: the table of reasons, and pictures small enough for Prefect's database."""

import base64
import json

import numpy as np
from PIL import Image

from flows.artifacts import MAX_IMAGE_BYTES, data_uri, metric_rows, rejection_rows, rejection_summary
from models.evaluation_report import DirectionMetrics, Evaluation
from models.registry import Model
from tests.flows.conftest import CURATION_JSON

REPORT = json.loads(CURATION_JSON)


def test_reasons_come_the_most_frequent_first():
    rows = rejection_rows(REPORT)
    assert [(row["reason"], row["images"], row["share of seen"]) for row in rows] == [
        ("blurred", 3, "30.0%"),
        ("no_face", 1, "10.0%"),
    ]


def test_the_summary_counts_all_and_each_domain():
    assert "6 of 10 images accepted, 4 rejected" in rejection_summary(REPORT)
    assert "masked: 6 of 10" in rejection_summary(REPORT)


def test_nothing_seen_divides_by_nothing():
    empty = {"seen": 0, "accepted": 0, "rejected": 0, "reasons": {"no_face": 0}, "domains": {}}
    assert rejection_rows(empty)[0]["share of seen"] == "-"


def test_a_small_picture_is_embedded_as_it_is(tmp_path):
    path = tmp_path / "small.png"
    Image.new("RGB", (8, 8)).save(path)
    head, _, data = data_uri(path).partition(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(data) == path.read_bytes()


def test_a_large_picture_is_made_to_fit(tmp_path):
    path = tmp_path / "large.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (900, 1200, 3), np.uint8)).save(path)
    uri = data_uri(path)
    assert uri.startswith("data:image/jpeg;base64,")
    assert len(uri) < MAX_IMAGE_BYTES * 4 / 3 + 100 < 500_000


def model(name: str, **mask: float) -> Model:
    return Model(name, "", "", None, 1, "", {}, "", Evaluation(mask=DirectionMetrics(**mask)), "")


def test_a_models_figures_stand_beside_those_of_the_one_before_with_the_change():
    rows = metric_rows(model("v2", accepted=0.9, kid=0.1), model("v1", accepted=0.8))
    assert rows == [
        {"metric": "mask.accepted", "v2": 0.9, "v1": 0.8, "change": "+0.1"},
        {"metric": "mask.kid", "v2": 0.1, "v1": "-", "change": "-"},
    ]


def test_the_first_models_figures_stand_alone():
    assert metric_rows(model("v1", accepted=0.8), None) == [{"metric": "mask.accepted", "v1": 0.8}]
