"""Stage `measure`: a row for each image, frozen numbers of one face, and what is measured again."""

import shutil
from dataclasses import fields
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.curation import measuring
from pipeline.faces.metrics import FaceMetrics
from pipeline.stages import measure as stage
from pipeline.storage.manifest import MEASURED_SCHEMA
from pipeline.storage.shards import read_members, write_shard
from tests.conftest import inside, measure_here


def measured(workspace, source):
    tables = [pq.read_table(path) for path in sorted((workspace / "data/measured" / source).glob("*.parquet"))]
    return pa.concat_tables(tables)


def test_every_image_has_a_row_in_the_schema(sample_workspace):
    table = measured(sample_workspace, "maskedface")
    index = pq.read_table(sample_workspace / "data/raw/maskedface/index.parquet")
    assert sorted(table["path"].to_pylist()) == sorted(index["path"].to_pylist())
    assert table.schema.equals(MEASURED_SCHEMA)


def test_the_digest_of_a_row_is_that_of_the_archived_file(sample_workspace):
    rows = {row["path"]: row["sha256"] for row in measured(sample_workspace, "ffhq").to_pylist()}
    index = pq.read_table(sample_workspace / "data/raw/ffhq/index.parquet").to_pylist()
    assert all(rows[row["path"]] == row["sha256"] for row in index)


def add_archive(raw):
    """Grow a fetched source by an archive with one image: a copy of its first one under a new name."""
    index = pq.read_table(raw / "index.parquet")
    first = index.slice(0, 1).to_pylist()[0]
    (content,) = read_members(raw / first["archive"], [first["path"]])
    row = first | {"path": "grown/" + first["path"], "archive": "99999.zip"}
    write_shard(raw / row["archive"], [(row["path"], content)])
    pq.write_table(pa.concat_tables([index, pa.Table.from_pylist([row], index.schema)]), raw / "index.parquet")
    return row["path"]


def test_a_grown_source_measures_only_its_new_archive(sample_workspace, tmp_path, monkeypatch):
    shutil.copytree(sample_workspace, tmp_path / "w")
    before, measured_now = measured(tmp_path / "w", "ffhq"), []
    new = add_archive(tmp_path / "w/data/raw/ffhq")
    measure_files = stage.measure_files

    def record(workers, container, paths, progress):
        measured_now.extend(paths)
        return measure_files(workers, container, paths, progress)

    monkeypatch.setattr(stage, "measure_files", record)
    with inside(tmp_path / "w"):
        measure_here("ffhq")
    after = measured(tmp_path / "w", "ffhq")
    assert measured_now == [new]
    assert after.slice(0, before.num_rows).equals(before)
    assert after["path"].to_pylist()[before.num_rows :] == [new]


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("closure_digest", lambda module: "other"),
        ("WEIGHTS", Path(__file__)),
        ("MEASURED_SCHEMA", MEASURED_SCHEMA.append(pa.field("new", pa.int8()))),
    ],
)
def test_other_code_another_network_or_other_columns_measure_again(
    sample_workspace, tmp_path, monkeypatch, name, other
):
    shutil.copytree(sample_workspace, tmp_path / "w")
    calls = []
    monkeypatch.setattr(measuring, name, other)
    monkeypatch.setattr(stage, "measure_files", lambda *call: calls.append(call) or MEASURED_SCHEMA.empty_table())
    with inside(tmp_path / "w"):
        measure_here("ffhq")
    assert len(calls) == 1


# One turned, masked face of the sample: each measurement as it was frozen, and the difference that is allowed, which is
# too small for the limits of the rules. Another version of MediaPipe, OpenCV or the mask network may need other values.
FACE = "CMFD/00000/00001_Mask.jpg"
GOLDEN = {
    "faces": (1, 0),
    "yaw": (-7.47, 1),
    "pitch": (4.91, 1),
    "roll": (-9.56, 0.5),
    "cover_nose": (0.970, 0.02),
    "cover_mouth": (0.997, 0.01),
    "cover_chin": (0.851, 0.02),
    "cover_eyes": (0.001, 0.01),
    "cover_face": (0.886, 0.02),
    "cover_total": (0.256, 0.02),
    "cover_symmetry": (0.623, 0.05),
    "sharpness": (17.43, 0.5),
    "noise": (0.50, 0.05),
    "brightness": (145.4, 1),
    "face_px": (138.0, 1.5),
    "frame_px": (256, 0),
    "frame_inside": (1, 0),
    "face_inside": (1, 0.01),
    "glasses": (0.116, 0.02),
    "skin_tone": (44.7, 2),
    "mask_lightness": (73.4, 1),
    "mask_a": (-12.8, 1),
    "mask_b": (-17.7, 1),
    "quality": (92, 0),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_a_face_of_the_sample_keeps_its_measurements(sample_workspace, name):
    rows = {row["path"]: row for row in measured(sample_workspace, "maskedface").to_pylist()}
    value, tolerance = GOLDEN[name]
    assert rows[FACE][name] == pytest.approx(value, abs=tolerance)


def test_the_frozen_measurements_are_all_numbers_of_a_face():
    assert {field.name for field in fields(FaceMetrics)} - {"face_grid"} <= GOLDEN.keys()
