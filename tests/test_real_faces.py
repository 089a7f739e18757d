"""The labelled real faces of ../shared, where present: curation must not become worse."""

import json
import subprocess
import sys

import pytest

from pipeline.tools.curate_folder import curate_folder


@pytest.fixture(scope="module")
def score(shared_faces, tmp_path_factory):
    out = tmp_path_factory.mktemp("real")
    curate_folder(shared_faces, out, None, None)
    scored = subprocess.run(
        [sys.executable, shared_faces.parent / "score_curation.py", "masks",
         out / "manifest.parquet", shared_faces / "labels.csv"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(scored.stdout.splitlines()[-1])


def test_every_real_image_has_a_row_and_every_rejected_row_a_reason(score):
    assert (score["rows_missing_from_manifest"], score["rejected_without_reason"]) == (0, 0)


@pytest.mark.parametrize(
    ("figure", "floor"),
    [("precision", 0.99), ("recall", 0.97), ("recall_real_maskedface_net", 0.98), ("unmasked_kept", 0.95)],
)
def test_curation_of_real_faces_is_as_good_as_before(score, figure, floor):
    assert score[figure] >= floor
