"""The registry's file: what is written is read back, and the form of an older version is read too."""

import json
from pathlib import Path

import pytest

from models import registry
from models.evaluation_report import DirectionMetrics, Evaluation
from models.registry import Model, Registry
from pipeline.errors import FacemaskError

METRICS = Evaluation("c" * 12, 12, "t" * 16, DirectionMetrics(images=3, accepted=0.5), DirectionMetrics(kid=0.1))
MODEL = Model("v1", "2026-11-23T00:00:00+00:00", "c" * 64, None, 12, "d" * 64, {"val": 0.1}, "id", METRICS, "first")
FILE = Path("registry/models.json")


def write(values):
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(json.dumps(values))


def test_what_is_written_is_read_back():
    registry.write(Registry("v1", (MODEL,)))
    assert registry.read() == Registry("v1", (MODEL,))


def test_metrics_that_were_not_measured_are_absent_from_the_file():
    registry.write(Registry("v1", (MODEL,)))
    metrics = json.loads(FILE.read_text())["models"][0]["metrics"]
    assert (metrics["mask"], metrics["unmask"]) == ({"images": 3, "accepted": 0.5}, {"kid": 0.1})


def test_schema_1_is_read_with_its_older_key_names():
    registry.write(Registry("v1", (MODEL,)))
    values = json.loads(FILE.read_text()) | {"schema": 1}
    (model,) = values["models"]
    model["basis"], model["figures"] = model.pop("evaluation_id"), model.pop("metrics")
    write(values)
    assert registry.read() == Registry("v1", (MODEL,))


def test_without_a_file_the_registry_is_empty():
    assert registry.read() == Registry(None, ())


def test_a_newer_schema_is_refused():
    write({"schema": 99, "promoted": None, "models": []})
    with pytest.raises(FacemaskError, match="has schema 99, not 2"):
        registry.read()


@pytest.mark.parametrize(
    "models", [[{}], [1], 1, [{"name": "v1"}], [{"metrics": {"mask": 1}}], [{"metrics": {"mask": {"fidd": 1}}}]]
)
def test_a_malformed_registry_is_a_one_line_error(models):
    write({"schema": 2, "promoted": None, "models": models})
    with pytest.raises(FacemaskError, match="restore it from git") as caught:
        registry.read()
    assert "\n" not in str(caught.value)


def test_a_number_is_not_used_again_after_an_older_model_is_removed():
    newer = Registry("v3", (Model(**vars(MODEL) | {"name": "v3"}),))
    assert newer.next_name() == "v4"
