import io
import shutil
import signal
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipeline.faces import metrics as faces
from pipeline.faces.landmarker import LANDMARKS, Face, open_landmarker
from pipeline.progress import Progress
from pipeline.stages import measure as module
from pipeline.stages.measure import LOW_CONFIDENCE, ImageLocation, measure, measure_images, measure_places, second_try
from pipeline.storage import worker_pool as workers_module
from pipeline.storage.images import MAX_SIDE
from pipeline.storage.manifest import MEASURED_SCHEMA
from pipeline.storage.shards import read_members, write_shard
from tests.conftest import inside
from tests.pipeline.strangers import EPS


def measured(workspace, source):
    tables = [pq.read_table(path) for path in sorted((workspace / "data/measured" / source).glob("*.parquet"))]
    return pa.concat_tables(tables)


def test_every_image_has_its_row_in_the_schema(sample_workspace):
    table = measured(sample_workspace, "maskedface")
    index = pq.read_table(sample_workspace / "data/raw/maskedface/index.parquet")
    assert sorted(table["path"].to_pylist()) == sorted(index["path"].to_pylist())
    assert table.schema.equals(MEASURED_SCHEMA)


def test_the_row_s_digest_is_that_of_the_archived_file(sample_workspace):
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
    real = module.measure_files

    def measure_files(measuring, container, paths, progress):
        measured_now.extend(paths)
        return real(measuring, container, paths, progress)

    monkeypatch.setattr(module, "measure_files", measure_files)
    with inside(tmp_path / "w"):
        measure("ffhq")
    after = measured(tmp_path / "w", "ffhq")
    assert measured_now == [new]
    assert after.slice(0, before.num_rows).equals(before)
    assert after["path"].to_pylist()[before.num_rows :] == [new]


@pytest.mark.parametrize(
    ("name", "other"),
    [("closure_digest", lambda module: "other"), ("MODEL_SHA256", "other"), ("WEIGHTS", Path(__file__))],
)
def test_other_code_or_another_model_measures_again(sample_workspace, tmp_path, monkeypatch, name, other):
    shutil.copytree(sample_workspace, tmp_path / "w")
    asked = []
    monkeypatch.setattr(module, name, other)
    monkeypatch.setattr(module, "measure_files", lambda *given: asked.append(given) or MEASURED_SCHEMA.empty_table())
    with inside(tmp_path / "w"):
        measure("ffhq")
    assert len(asked) == 1


# One turned, masked face of the sample, as measured when this was frozen, each with what it may differ by: less than
# the limits of the rules would notice. Another version of MediaPipe, OpenCV or the cover network may move it further.
FACE = "CMFD/00000/00001_Mask.jpg"
GOLDEN = {
    "faces": (1, 0),
    "yaw": (-7.47, 1),
    "pitch": (3.19, 1),
    "roll": (-9.05, 0.5),
    "cover_nose": (0.970, 0.02),
    "cover_mouth": (0.997, 0.01),
    "cover_chin": (0.954, 0.02),
    "cover_eyes": (0.001, 0.01),
    "cover_face": (0.886, 0.02),
    "cover_seen": (0.256, 0.02),
    "cover_balance": (0.553, 0.05),
    "sharpness": (16.98, 0.5),
    "brightness": (152.9, 1),
    "face_px": (143.1, 1.5),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_a_face_of_the_sample_is_measured_as_it_was(sample_workspace, name):
    rows = {row["path"]: row for row in measured(sample_workspace, "maskedface").to_pylist()}
    value, tolerance = GOLDEN[name]
    assert rows[FACE][name] == pytest.approx(value, abs=tolerance)


def test_the_golden_measurements_are_of_every_number():
    numbers = set(MEASURED_SCHEMA.names) & {field.name for field in fields(faces.FaceMetrics)}
    assert numbers <= GOLDEN.keys()


def nothing(pixels):
    return []


def test_a_second_try_finds_no_face_in_noise():
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    with open_landmarker(1, LOW_CONFIDENCE) as look_again:
        assert second_try(noise, look_again) == []


def test_a_second_try_believes_no_plain_face(plain_face):
    with open_landmarker(1, LOW_CONFIDENCE) as look_again:
        assert second_try(plain_face[0], look_again) == []


def test_a_second_try_gives_landmarks_in_the_image_s_own_shares(sample_workspace):
    rows = pd.read_parquet(sample_workspace / "data/manifest.parquet")
    masked = rows[rows["accepted"] & (rows["domain"] == "masked")].iloc[0]
    content = next(read_members(sample_workspace / "data/raw/maskedface" / masked["archive"], [masked["path"]]))
    pixels = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    with open_landmarker(1) as detect, open_landmarker(1, LOW_CONFIDENCE) as look_again:
        (first,), (second,) = detect(pixels), second_try(pixels, look_again)
    assert np.abs(first.points - second.points).max() < 0.05


def test_an_unreadable_image_has_a_row_with_no_numbers():
    (row,) = measure_images([b"no image"], nothing, nothing, 256)
    assert (row["faces"], row["bytes"], row.get("width"), row.get("phash")) == (0, 8, None, None)


def test_rows_are_the_same_whatever_images_are_measured_along(sample_workspace):
    archive = sample_workspace / "data/raw/maskedface/00000.zip"
    index = pd.read_parquet(archive.with_name("index.parquet"))
    contents = list(read_members(archive, index[index["archive"] == archive.name]["path"][:7]))
    with open_landmarker(4) as detect:
        together = list(measure_images(contents, detect, nothing, 256))
        alone = [row for content in contents for row in measure_images([content], detect, nothing, 256)]
    assert together == alone


def test_images_too_large_to_hold_together_are_measured_all_the_same(monkeypatch):
    monkeypatch.setattr("pipeline.stages.measure._HELD_BYTES", 20)
    rows = measure_images([b"a" * 30, b"b", b"c" * 19, b"d"], nothing, nothing, 256)
    assert [row["bytes"] for row in rows] == [30, 1, 19, 1]


def boxed(left, top, right, bottom):
    grid = np.linspace(0, 1, LANDMARKS, dtype=np.float32)
    points = np.stack([left + grid * (right - left), top + grid * (bottom - top)], axis=1)
    return Face(points, np.eye(4, dtype=np.float32))


@pytest.mark.parametrize(("side", "counted"), [(0.2, 1), (0.3, 2)])
def test_a_second_face_counts_from_a_fifth_of_the_first_s_area(side, counted):
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64)).save(buffer, "PNG")
    found = [boxed(0, 0, side, side), boxed(0.4, 0.4, 1.0, 1.0)]
    (row,) = measure_images([buffer.getvalue()], lambda pixels: found, nothing, 256)
    assert row["faces"] == counted
    assert row["face_px"] == pytest.approx(0.6 * 64, rel=1e-3)


def test_a_face_found_inside_the_face_is_no_second_one():
    assert not faces.is_second_face(boxed(0.3, 0.3, 0.7, 0.7), boxed(0.1, 0.1, 0.9, 0.9))


def turn(axis, degrees):
    """The landmarker's matrix for a head turned about one axis, right-handed; it scales too."""
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = np.eye(4, dtype=np.float32)
    first, second = (axis + 1) % 3, (axis + 2) % 3
    matrix[[first, second], [first, second]] = cosine
    matrix[second, first], matrix[first, second] = sine, -sine
    return 2 * matrix


@pytest.mark.parametrize(
    ("axis", "expected"), [(1, (20, 0, 0)), (0, (0, 20, 0)), (2, (0, 0, -20))], ids=["yaw", "pitch", "roll"]
)
def test_pose_reads_each_turn_in_degrees(axis, expected):
    assert faces.pose(turn(axis, 20)) == pytest.approx(expected, abs=1e-3)


@pytest.fixture(scope="module")
def plain_face(sample_workspace):
    """Pixels and landmarks of the sample's first plain face."""
    content = next(read_members(sample_workspace / "data/raw/ffhq/00000.zip", ["00000/00000.png"]))
    pixels = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    with open_landmarker(4) as detect:
        return pixels, detect(pixels)[0]


def test_a_picture_tilted_clockwise_has_positive_roll(plain_face):
    pixels, face = plain_face
    tilted = np.asarray(Image.fromarray(pixels).rotate(-15))
    with open_landmarker(4) as detect:
        found = detect(tilted)[0]
    assert faces.pose(found.transform)[2] - faces.pose(face.transform)[2] == pytest.approx(15, abs=4)


def test_a_blurred_face_is_less_sharp(plain_face):
    import cv2

    pixels, face = plain_face
    sharp, blurred = faces.measure_faces(
        [faces.DetectedFace(shown, face, 256) for shown in (pixels, cv2.GaussianBlur(pixels, (0, 0), 3))]
    )
    assert blurred.sharpness < sharp.sharpness / 2


@pytest.mark.parametrize("container", ["folder", "zip"])
def test_a_picture_that_asks_for_a_program_is_unreadable(tmp_path, fake_ghostscript, container):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/a.jpg").write_bytes(EPS)
    write_shard(tmp_path / "zip", [("a.jpg", EPS)])
    settings = module.MeasureParams(2, 128, "processes", None, None)
    (row,) = measure_places([ImageLocation(tmp_path / container, "a.jpg")], settings).to_pylist()
    assert (row["bytes"], row["width"], row["faces"]) == (len(EPS), None, 0)
    assert not fake_ghostscript.exists()


def test_a_picture_with_the_longest_side_is_measured(tmp_path):
    """Above some side OpenCV, within MediaPipe, ends the process; such a row would be unreadable."""
    sizes = {"wide.png": (MAX_SIDE, 1), "tall.png": (1, MAX_SIDE), "large.png": (MAX_SIDE, 300)}
    for name, size in sizes.items():
        Image.new("RGB", size).save(tmp_path / name)
    with module.workers(module.MeasureParams(2, 256, "processes", None, None), 1) as measuring:
        table = module.measure_files(measuring, tmp_path, list(sizes), Progress("measure", len(sizes)))
    assert {row["path"]: (row["width"], row["height"]) for row in table.to_pylist()} == sizes


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no CPU timer on this platform")
def test_every_image_has_the_whole_cpu_limit_for_itself(portraits, monkeypatch):
    buffer = io.BytesIO()
    portraits[0].save(buffer, "PNG")
    left = []

    def detect(_pixels):
        left.append(signal.getitimer(signal.ITIMER_PROF)[0])
        signal.setitimer(signal.ITIMER_PROF, 1000)
        return []

    monkeypatch.setattr(workers_module, "_is_worker", True)
    list(measure_images([buffer.getvalue()] * 2, detect, lambda _: [], 128))
    assert len(left) == 2 and all(0 < seconds < workers_module.IMAGE_CPU_S + 1 for seconds in left)
    assert signal.getitimer(signal.ITIMER_PROF)[0] == 0
