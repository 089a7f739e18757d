"""How fast measuring is, against the floor and against the naive way, in one run: `python -m benchmarks.measure`.

Floor: reduced JPEG decoding to >= 256 px and FaceLandmarker.detect, nothing else. Naive: full decoding, landmarks,
imagehash and a Laplacian, each reading the file anew. Ratios are medians over rounds that take turns, so that another
load on the machine hits all alike. Prints JSON last.
"""

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import cv2
import imagehash
import mediapipe
import numpy as np
from mediapipe.tasks.python import BaseOptions, vision
from PIL import Image
from pyarrow import Table

from pipeline.faces.landmarker import model_bytes
from pipeline.progress import Progress
from pipeline.stages.measure import PIECE, ImageLocation, MeasureParams, measure_files, measure_places, workers
from pipeline.storage.images import FORMATS, open_image
from pipeline.storage.worker_pool import WorkerPool
from pipeline.synthetic.layout import SampleParams, sample_files

IMAGES, SIDE, ROUNDS = 40, 1024, 9
SETTINGS = MeasureParams(max_faces=4, decode_px=256, executor="processes", address=None, archives=None)


def faces(folder: Path, suffix: str) -> list[Path]:
    """Write IMAGES masked faces of SIDE px."""
    paths = []
    for file in sample_files("masked", SampleParams(faces=IMAGES, image_px=SIDE, seed=1)):
        if file.kind == "correct":
            paths.append(folder / f"{len(paths):03d}{suffix}")
            image = open_image(file.content).convert("RGB").resize((SIDE, SIDE))
            image.save(paths[-1], quality=92) if suffix == ".jpg" else image.save(paths[-1])
    return paths[:PIECE]


def floor(paths: list[Path]) -> None:
    for path in paths:
        with Image.open(path, formats=FORMATS) as image:
            image.draft("RGB", (256, 256))
            bare_landmarker().detect(mediapipe.Image(mediapipe.ImageFormat.SRGB, np.array(image.convert("RGB"))))


def ours(paths: list[Path]) -> None:
    measure_places([ImageLocation(path.parent, path.name) for path in paths], SETTINGS)


def naive(paths: list[Path]) -> None:
    for path in paths:
        pixels = np.array(Image.open(path, formats=FORMATS).convert("RGB"))
        bare_landmarker().detect(mediapipe.Image(mediapipe.ImageFormat.SRGB, pixels))
        imagehash.phash(Image.open(path, formats=FORMATS))
        cv2.Laplacian(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), cv2.CV_64F).var()


@cache
def bare_landmarker() -> vision.FaceLandmarker:
    """MediaPipe's own, asked for what measuring asks it for."""
    options = vision.FaceLandmarkerOptions(
        base_options=BaseOptions(model_asset_buffer=model_bytes()),
        num_faces=SETTINGS.max_faces,
        output_facial_transformation_matrixes=True,
    )
    return vision.FaceLandmarker.create_from_options(options)


def seconds(work: Callable[[list[Path]], None], paths: list[Path]) -> float:
    started = time.perf_counter()
    work(paths)
    return (time.perf_counter() - started) / len(paths)


def in_turns(paths: list[Path]) -> dict[str, float]:
    """Rates of `ours` against the others; above 1 it is faster."""
    ours(paths[:1])
    floor(paths[:1])
    rounds = [{work.__name__: seconds(work, paths) for work in (floor, ours, naive)} for _ in range(ROUNDS)]
    return {
        "ms_per_image": 1000 * statistics.median(r["ours"] for r in rounds),
        "against_floor": statistics.median(r["floor"] / r["ours"] for r in rounds),
        "against_naive": statistics.median(r["naive"] / r["ours"] for r in rounds),
    }


def two_processes_against_one(folder: Path, paths: list[Path]) -> float:
    names = [path.name for path in paths] * 8

    def rate(processes: WorkerPool[ImageLocation, Table]) -> float:
        started = time.perf_counter()
        measure_files(processes, folder, names, Progress("processes", len(names)))
        return len(names) / (time.perf_counter() - started)

    with workers(SETTINGS, 1) as one, workers(SETTINGS, 2) as two:
        rate(two), rate(one)  # to load their landmarkers
        return statistics.median(rate(two) / rate(one) for _ in range(5))


def main() -> None:
    cv2.setNumThreads(1)  # as in the processes that measure
    result = {}
    for suffix in (".jpg", ".png"):
        with tempfile.TemporaryDirectory() as name:
            paths = faces(Path(name), suffix)
            result[suffix[1:]] = in_turns(paths)
            if suffix == ".jpg":
                result["two_processes"] = {"against_one": two_processes_against_one(Path(name), paths)}
    print(json.dumps({name: {key: round(value, 3) for key, value in part.items()} for name, part in result.items()}))


if __name__ == "__main__":
    main()
