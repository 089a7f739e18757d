"""The raw numbers of one image, and that nothing but the image changes them."""

import io
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline.curation import measurements
from pipeline.curation.measurements import measure_images
from pipeline.faces.landmarker import Face
from pipeline.faces.landmarks import LANDMARKS
from pipeline.storage.code_digest import closure_digest
from pipeline.storage.shards import read_members
from tests.closure import ROOT, closure


def png(side=64):
    buffer = io.BytesIO()
    Image.new("RGB", (side, side)).save(buffer, "PNG")
    return buffer.getvalue()


def test_an_unreadable_image_has_a_row_without_measurements():
    (row,) = measure_images([b"no image"], 2, 256)
    assert (row["faces"], row["bytes"], row.get("width"), row.get("phash")) == (0, 8, None, None)


def test_rows_are_the_same_in_any_batch(sample_workspace):
    archive = sample_workspace / "data/raw/maskedface/00000.zip"
    index = pd.read_parquet(archive.with_name("index.parquet"))
    contents = list(read_members(archive, index[index["archive"] == archive.name]["path"][:7]))
    together = list(measure_images(contents, 4, 256))
    alone = [row for content in contents for row in measure_images([content], 4, 256)]
    assert together == alone


def test_images_too_large_for_one_batch_are_all_measured_in_order(monkeypatch):
    monkeypatch.setattr(measurements, "_BATCH_BYTES", 20)
    rows = measure_images([b"a" * 30, b"b", b"c" * 19, b"d"], 2, 256)
    assert [row["bytes"] for row in rows] == [30, 1, 19, 1]


def test_only_the_largest_face_is_measured(monkeypatch):
    grid = np.linspace(0.4, 1, LANDMARKS, dtype=np.float32)
    largest = Face(np.stack([grid, grid], axis=1), np.eye(4, dtype=np.float32))
    second = Face(largest.points / 2, largest.transform)
    monkeypatch.setattr(measurements, "find_faces", lambda pixels, max_faces: [largest, second])
    (row,) = measure_images([png()], 2, 256)
    assert row["faces"] == 2
    assert row["face_px"] == pytest.approx(0.6 * 64, rel=1e-3)


def test_the_cpu_limit_encloses_each_image(monkeypatch):
    within, detected = [], []

    @contextmanager
    def cpu_limit():
        within.append(len(within))
        yield
        within.append(None)

    monkeypatch.setattr(measurements, "find_faces", lambda *_: detected.append(within[-1]) or [])
    list(measure_images([png(), png()], 2, 128, cpu_limit))
    assert within == [0, None, 2, None] and detected == [0, 2]


def copy_of(folder, edited):
    """A copy of the code of the measurements, with one file edited."""
    for path in closure("pipeline.curation.measuring"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes((ROOT / path).read_bytes())
    with (folder / edited).open("a") as file:
        file.write("\nEDITED = True\n")
    return folder


@pytest.mark.parametrize(
    "edited",
    ["curation/measurements", "curation/hashes", "faces/detection", "faces/mask_coverage", "faces/landmarks",
     "storage/images", "storage/thumbnails"],
)  # fmt: skip
def test_an_edit_of_code_that_measures_changes_its_digest(tmp_path, edited):
    folder = copy_of(tmp_path, f"pipeline/{edited}.py")
    assert closure_digest(measurements.__name__, folder) != closure_digest(measurements.__name__)


@pytest.mark.parametrize(
    "edited",
    ["curation/measuring", "storage/worker_pool", "storage/dask_cluster", "storage/shards", "messages", "progress"],
)
def test_an_edit_of_code_that_changes_no_number_keeps_the_digest(tmp_path, edited):
    folder = copy_of(tmp_path, f"pipeline/{edited}.py")
    assert closure_digest(measurements.__name__, folder) == closure_digest(measurements.__name__)
