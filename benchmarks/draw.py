"""How many faces a second `facemask apply` draws without a checkpoint, and how long its first photo takes.

    python -m benchmarks.draw

Drawing only: faces of the sample in frames of SIDE px, whose landmarks are known, in one process per core. Then the
whole command on one photo, from its start, with all that it loads. Prints JSON last.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.faces.tiled_detection import find_all_faces
from pipeline.masks.catalogue import KINDS
from pipeline.storage.images import open_image
from pipeline.synthetic.layout import SampleParams, sample_files
from pipeline.tools.draw_masks import MaskChoice, draw_on_faces

FACES, SIDE = 8, 1024
TARGET_PER_S = 10  # on two cores

Framed = tuple[NDArray[np.uint8], list[NDArray[np.float32]]]
"""A picture (SIDE, SIDE, 3) RGB and the landmarks of its faces."""


def framed_faces() -> list[Framed]:
    """Unmasked faces of the sample."""
    found: list[Framed] = []
    for file in sample_files("unmasked", SampleParams(faces=20, image_px=256, seed=1)):
        if file.kind == "unmasked":
            pixels = np.asarray(open_image(file.content).convert("RGB").resize((SIDE, SIDE)))
            found.append((pixels, find_all_faces(pixels)))
        if len(found) == FACES:
            break
    return found


def draw_one(framed: Framed, kind: str) -> tuple[int, float]:
    """Draw on a picture; return the number of its faces, and the CPU seconds."""
    cv2.setNumThreads(1)
    started = time.process_time()
    draw_on_faces(*framed, MaskChoice(kind))
    return len(framed[1]), time.process_time() - started


def timed(framed: list[Framed], kind: str, workers: ProcessPoolExecutor) -> dict[str, float]:
    """Faces a second, and CPU milliseconds a face: the second hardly depends on what else the machine does."""
    started = time.perf_counter()
    done = list(workers.map(partial(draw_one, kind=kind), framed))
    faces, elapsed = sum(count for count, _ in done), time.perf_counter() - started
    return {
        "faces_per_s": round(faces / elapsed, 1),
        "cpu_ms": round(1000 * sum(cpu for _, cpu in done) / faces, 1),
    }


def first_photo_s(pixels: NDArray[np.uint8]) -> float:
    """Seconds of the whole command on one photo."""
    with tempfile.TemporaryDirectory() as folder:
        photo = Path(folder) / "photo.png"
        Image.fromarray(pixels).save(photo)
        started = time.perf_counter()
        command = [sys.executable, "-m", "flows.cli", "apply", str(photo), "--out", f"{folder}/out"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - started


def main() -> None:
    """Print the figures."""
    framed, cores = framed_faces(), os.cpu_count() or 1
    with ProcessPoolExecutor(cores, get_context("spawn")) as workers:  # forked, OpenCV and MediaPipe may hang
        list(workers.map(partial(draw_one, kind="kn95"), framed[: 2 * cores]))  # imports and warms up
        kinds = {kind: timed(framed, kind, workers) for kind in KINDS}
    slowest = max(figures["cpu_ms"] for figures in kinds.values())
    figures = {
        "cores": cores,
        "frame_px": SIDE,
        "kinds": kinds,
        "slowest_on_two_free_cores_per_s": round(2000 / slowest, 1),
        "first_photo_s": round(first_photo_s(framed[0][0]), 1),
        "target_per_s": TARGET_PER_S,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
