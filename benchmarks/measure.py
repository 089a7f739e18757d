"""How fast images are measured, against a lower bound and against naive code: `python -m benchmarks.measure`.

Floor: reduced JPEG decoding to >= 256 px and FaceLandmarker.detect, nothing else. Naive: full decoding, landmarks,
imagehash and a Laplacian, each of which reads the file again. Ratios are medians over rounds in turns, so that other
load on the machine affects all alike. Prints JSON last.
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

from pipeline.curation.measure_params import MeasureParams
from pipeline.curation.measuring import PIECE, ImageLocation, measure_files, measure_locations, open_workers
from pipeline.faces.landmarker import model_bytes
from pipeline.progress import Progress
from pipeline.storage.images import FORMATS, open_image
from pipeline.storage.worker_pool import WorkerPool
from pipeline.synthetic.layout import SampleParams, sample_files

IMAGES, SIDE, ROUNDS = 40, 1024, 9
PARAMS = MeasureParams(max_faces=4, decode_px=256, executor="processes", address=None, archives=None)


def write_faces(folder: Path, suffix: str) -> list[Path]:
    """Write masked faces of SIDE px and return their paths, PIECE at most."""
    paths = []
    for file in sample_files("masked", SampleParams(faces=IMAGES, image_px=SIDE, seed=1)):
        if file.kind == "correct":
            paths.append(folder / f"{len(paths):03d}{suffix}")
            image = open_image(file.content).convert("RGB").resize((SIDE, SIDE))
            image.save(paths[-1], quality=92) if suffix == ".jpg" else image.save(paths[-1])
    return paths[:PIECE]


def floor(paths: list[Path]) -> None:
    """The least that measuring can do."""
    for path in paths:
        with Image.open(path, formats=FORMATS) as image:
            image.draft("RGB", (256, 256))
            bare_landmarker().detect(mediapipe.Image(mediapipe.ImageFormat.SRGB, np.array(image.convert("RGB"))))


def ours(paths: list[Path]) -> None:
    """What a worker process does."""
    measure_locations([ImageLocation(path.parent, path.name) for path in paths], PARAMS)


def naive(paths: list[Path]) -> None:
    """Each number by itself, from the whole image."""
    for path in paths:
        pixels = np.array(Image.open(path, formats=FORMATS).convert("RGB"))
        bare_landmarker().detect(mediapipe.Image(mediapipe.ImageFormat.SRGB, pixels))
        imagehash.phash(Image.open(path, formats=FORMATS))
        cv2.Laplacian(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), cv2.CV_64F).var()


@cache
def bare_landmarker() -> vision.FaceLandmarker:
    """MediaPipe's landmarker with the options that measuring uses."""
    options = vision.FaceLandmarkerOptions(
        base_options=BaseOptions(model_asset_buffer=model_bytes()),
        num_faces=PARAMS.max_faces,
        output_facial_transformation_matrixes=True,
    )
    return vision.FaceLandmarker.create_from_options(options)


def seconds(work: Callable[[list[Path]], None], paths: list[Path]) -> float:
    """Seconds per image."""
    started = time.perf_counter()
    work(paths)
    return (time.perf_counter() - started) / len(paths)


def in_turns(paths: list[Path]) -> dict[str, float]:
    """Milliseconds per image of `ours`, and its speed relative to the others; above 1 it is faster."""
    ours(paths[:1])
    floor(paths[:1])
    rounds = [{work.__name__: seconds(work, paths) for work in (floor, ours, naive)} for _ in range(ROUNDS)]
    return {
        "ms_per_image": 1000 * statistics.median(r["ours"] for r in rounds),
        "against_floor": statistics.median(r["floor"] / r["ours"] for r in rounds),
        "against_naive": statistics.median(r["naive"] / r["ours"] for r in rounds),
    }


def measuring_rate(workers: WorkerPool[ImageLocation, Table], folder: Path, names: list[str]) -> float:
    """Images per second."""
    started = time.perf_counter()
    measure_files(workers, folder, names, Progress("measure", len(names)))
    return len(names) / (time.perf_counter() - started)


def two_processes_against_one(folder: Path, paths: list[Path]) -> float:
    """The speed of two processes relative to one."""
    names = [path.name for path in paths] * 8
    with open_workers(PARAMS, 1) as one, open_workers(PARAMS, 2) as two:
        for workers in (two, one):
            measuring_rate(workers, folder, names)  # loads their landmarkers
        return statistics.median(
            measuring_rate(two, folder, names) / measuring_rate(one, folder, names) for _ in range(5)
        )


def main() -> None:
    """Run all comparisons."""
    cv2.setNumThreads(1)  # as in the measuring processes
    result = {}
    for suffix in (".jpg", ".png"):
        with tempfile.TemporaryDirectory() as name:
            paths = write_faces(Path(name), suffix)
            result[suffix[1:]] = in_turns(paths)
            if suffix == ".jpg":
                result["two_processes"] = {"against_one": two_processes_against_one(Path(name), paths)}
    print(json.dumps({name: {key: round(value, 3) for key, value in part.items()} for name, part in result.items()}))


if __name__ == "__main__":
    main()
