"""How many faces a second `facemask apply` draws without a checkpoint, and how long its first photo takes.

    python -m benchmarks.draw

Drawing only: faces of the sample in frames of SIDE px, whose landmarks are known, in one process per core. Then the
whole command on one photo, from its start, with all that it loads. Prints JSON last.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
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

FACES, SIDE, ROUNDS = 24, 1024, 3
TARGET_PER_S = 10  # on two cores

Framed = tuple[NDArray[np.uint8], list[NDArray[np.float32]]]
"""A picture (SIDE, SIDE, 3) RGB and the landmarks of its faces."""


def framed_faces() -> list[Framed]:
    """Unmasked faces of the sample."""
    found: list[Framed] = []
    for file in sample_files("unmasked", SampleParams(faces=FACES, image_px=SIDE, seed=1)):
        if file.kind == "unmasked":
            pixels = np.asarray(open_image(file.content).convert("RGB"))
            found.append((pixels, find_all_faces(pixels)))
    return found[:FACES]


def draw_one(framed: Framed, kind: str) -> int:
    """Draw on a picture; return the number of its faces."""
    cv2.setNumThreads(1)
    draw_on_faces(*framed, MaskChoice(kind))
    return len(framed[1])


def faces_per_s(framed: list[Framed], kind: str, workers: ProcessPoolExecutor) -> float:
    """The median of ROUNDS."""
    rates = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        faces = sum(workers.map(partial(draw_one, kind=kind), framed))
        rates.append(faces / (time.perf_counter() - started))
    return statistics.median(rates)


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
    with ProcessPoolExecutor(cores) as workers:
        list(workers.map(partial(draw_one, kind="kn95"), framed[: 2 * cores]))  # imports and warms up
        rates = {kind: round(faces_per_s(framed, kind, workers), 1) for kind in KINDS}
    figures = {
        "cores": cores,
        "frame_px": SIDE,
        "faces_per_s": rates,
        "slowest_per_s": min(rates.values()),
        "first_photo_s": round(first_photo_s(framed[0][0]), 1),
        "target_per_s": TARGET_PER_S,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
