"""How fast measuring is, against the floor and against the naive way, in one run: `python -m benchmarks.measure`.

Floor: reduced JPEG decoding to >= 256 px and FaceLandmarker.detect, nothing else. Naive: full decoding, landmarks,
imagehash and a Laplacian, each reading the file anew. Ratios are medians over rounds that take turns, so that another
load on the machine hits all alike. Prints JSON last.
"""

import io
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import imagehash
import numpy as np
from PIL import Image

from pipeline.landmarker import Detect, open_landmarker
from pipeline.measure import MeasureParams, measure_files, measure_image, workers
from pipeline.progress import Progress
from pipeline.sample import SampleParams, sample_files

IMAGES, SIDE, ROUNDS = 40, 1024, 5
SETTINGS = MeasureParams(max_faces=4, decode_px=256)


def faces(folder: Path, suffix: str) -> list[Path]:
    """Write IMAGES masked faces of SIDE px."""
    paths = []
    for file in sample_files("masked", SampleParams(faces=IMAGES, image_px=SIDE, seed=1)):
        if file.kind == "correct":
            paths.append(folder / f"{len(paths):03d}{suffix}")
            image = Image.open(io.BytesIO(file.content)).convert("RGB").resize((SIDE, SIDE))
            image.save(paths[-1], quality=92) if suffix == ".jpg" else image.save(paths[-1])
    return paths


def floor(path: Path, detect: Detect) -> None:
    with Image.open(path) as image:
        image.draft("RGB", (256, 256))
        detect(np.asarray(image.convert("RGB")))


def ours(path: Path, detect: Detect) -> None:
    measure_image(path.read_bytes(), detect, detect, SETTINGS.decode_px)


def naive(path: Path, detect: Detect) -> None:
    detect(np.asarray(Image.open(path).convert("RGB")))
    imagehash.phash(Image.open(path))
    cv2.Laplacian(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), cv2.CV_64F).var()


def seconds(work: Callable[[Path, Detect], None], paths: list[Path], detect: Detect) -> float:
    started = time.perf_counter()
    for path in paths:
        work(path, detect)
    return (time.perf_counter() - started) / len(paths)


def in_turns(paths: list[Path]) -> dict[str, float]:
    """Rates of `ours` against the others; above 1 it is faster."""
    rounds = []
    with open_landmarker(SETTINGS.max_faces) as detect:
        ours(paths[0], detect)
        for _ in range(ROUNDS):
            rounds.append({work.__name__: seconds(work, paths, detect) for work in (floor, ours, naive)})
    return {
        "ms_per_image": 1000 * statistics.median(r["ours"] for r in rounds),
        "against_floor": statistics.median(r["floor"] / r["ours"] for r in rounds),
        "against_naive": statistics.median(r["naive"] / r["ours"] for r in rounds),
    }


def two_processes_against_one(folder: Path, paths: list[Path]) -> float:
    names = [path.name for path in paths] * 16
    rates = {}
    for count in (1, 2):
        with workers(SETTINGS, count) as processes:
            measure_files(processes, folder, names[: 32 * count], Progress("warm-up", 32 * count))
            started = time.perf_counter()
            measure_files(processes, folder, names, Progress(f"{count} processes", len(names)))
            rates[count] = len(names) / (time.perf_counter() - started)
    return rates[2] / rates[1]


def main() -> None:
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
