"""Measuring in worker processes: hostile files, and the limits of each image."""

import io
import signal

import pytest
from PIL import Image

from pipeline.curation import measurements
from pipeline.curation.measure_params import MeasureParams
from pipeline.curation.measuring import ImageLocation, measure_files, measure_locations, open_workers
from pipeline.progress import Progress
from pipeline.storage import worker_pool
from pipeline.storage.images import MAX_SIDE
from pipeline.storage.shards import write_shard
from tests.pipeline.strangers import EPS

PARAMS = MeasureParams(max_faces=2, decode_px=128, executor="processes", address=None, archives=None)


@pytest.mark.parametrize("container", ["folder", "zip"])
def test_a_file_that_would_run_a_program_is_unreadable(tmp_path, fake_ghostscript, container):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/a.jpg").write_bytes(EPS)
    write_shard(tmp_path / "zip", [("a.jpg", EPS)])
    (row,) = measure_locations([ImageLocation(tmp_path / container, "a.jpg")], PARAMS).to_pylist()
    assert (row["bytes"], row["width"], row["faces"]) == (len(EPS), None, 0)
    assert not fake_ghostscript.exists()


def test_an_image_with_the_longest_side_is_measured(tmp_path):
    """Above some side OpenCV, within MediaPipe, ends the process, which would make the image unreadable."""
    sizes = {"wide.png": (MAX_SIDE, 1), "tall.png": (1, MAX_SIDE), "large.png": (MAX_SIDE, 300)}
    for name, size in sizes.items():
        Image.new("RGB", size).save(tmp_path / name)
    with open_workers(PARAMS, 1) as workers:
        table = measure_files(workers, tmp_path, list(sizes), Progress("measure", len(sizes)))
    assert {row["path"]: (row["width"], row["height"]) for row in table.to_pylist()} == sizes


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no CPU timer on this platform")
def test_each_image_has_the_whole_cpu_limit(tmp_path, monkeypatch):
    buffer, left = io.BytesIO(), []
    Image.new("RGB", (64, 64)).save(buffer, "PNG")
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(buffer.getvalue())

    def find_faces(_pixels, _max_faces):
        left.append(signal.getitimer(signal.ITIMER_PROF)[0])
        signal.setitimer(signal.ITIMER_PROF, 1000)
        return []

    monkeypatch.setattr(measurements, "find_faces", find_faces)
    monkeypatch.setattr(worker_pool, "_is_worker", True)
    measure_locations([ImageLocation(tmp_path, name) for name in ("a.png", "b.png")], PARAMS)
    assert len(left) == 2 and all(0 < seconds < worker_pool.IMAGE_CPU_S + 1 for seconds in left)
    assert signal.getitimer(signal.ITIMER_PROF)[0] == 0
