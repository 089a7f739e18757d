"""Speed, memory and stability of the selection and of the map: `python -m benchmarks.selection [--images 70000]`.

The images have random features, in which ten directions vary more than the others. Stability is the share of the
images chosen out of a 21st less that are chosen out of all. Prints JSON last.
"""

import argparse
import json
import resource
import time

import numpy as np
from numpy.typing import NDArray

from pipeline.curation.selection import Candidates, choose
from pipeline.faces.face_grid import GRID_BYTES
from pipeline.report.face_map import embed

_POSE_AND_COLOURS = 7


def random_features(count: int) -> NDArray[np.float32]:
    """(count, D) whole numbers."""
    random = np.random.default_rng(0)
    size = _POSE_AND_COLOURS + GRID_BYTES
    directions = random.normal(0, 8, (10, size))
    values = random.normal(0, 1, (count, 10)) @ directions + random.normal(0, 8, (count, size))
    return np.rint(values.clip(-100, 100)).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description="Select 6,000 of many images, and again after 5 %% more have come.")
    parser.add_argument("--images", type=int, default=70_000)
    count = parser.parse_args().images
    features, quality = random_features(count), np.random.default_rng(1).uniform(0.7, 1, count)
    none = np.zeros(count, np.bool_)
    began = time.perf_counter()
    chosen = choose(Candidates(features, quality, none), 6000)
    seconds, peak = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    earlier = np.sort(np.random.default_rng(2).permutation(count)[: count * 20 // 21])
    before = choose(Candidates(features[earlier], quality[earlier], none[earlier]), 6000)
    began = time.perf_counter()
    embed(features)
    print(
        json.dumps(
            {
                "images": count,
                "select_s": round(seconds, 2),
                "peak_gb": round(peak, 3),
                "stays": round(float(chosen[earlier][before].mean()), 3),
                "map_s": round(time.perf_counter() - began, 2),
            }
        )
    )


if __name__ == "__main__":
    main()
