"""Speed of the search for near-duplicates, alone and against imagededup: `python -m benchmarks.dedup`.

imagededup's PHash.find_duplicates gets 64-bit hashes (it has no others) at its default distance of 10; facemask gets
256-bit hashes. Without imagededup (`pip install imagededup`) the comparison is left out. Prints JSON last.
"""

import json
import resource
import time
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from pipeline.curation.near_duplicates import find_duplicates

MANY, FEW, MAX_DISTANCE = 200_000, 20_000, 72


def similar_hashes(count: int, width: int) -> NDArray[np.uint8]:
    """(count, width) bytes: hashes that all differ from one hash by a few bits."""
    random = np.random.default_rng(0)
    hashes = np.repeat(random.integers(0, 256, (1, width), dtype=np.uint8), count, axis=0)
    for _ in range(max(1, width // 8)):
        hashes[np.arange(count), random.integers(0, width, count)] ^= (1 << random.integers(0, 8, count)).astype(
            np.uint8
        )
    return hashes


def hash_pairs(count: int, width: int) -> NDArray[np.uint8]:
    """(count, width) bytes: random hashes, each followed by one that differs in one bit."""
    random = np.random.default_rng(1)
    hashes = np.repeat(random.integers(0, 256, (count // 2, width), dtype=np.uint8), 2, axis=0)
    hashes[::2, 0] ^= 1
    return hashes


def time_facemask(hashes: NDArray[np.uint8]) -> dict[str, float]:
    """Seconds, and how many images are kept."""
    started = time.perf_counter()
    found = find_duplicates(hashes, ~hashes, MAX_DISTANCE)
    return {"seconds": time.perf_counter() - started, "kept": int((found.kept < 0).sum())}


def time_imagededup(hashes: NDArray[np.uint8]) -> dict[str, float]:
    """Seconds."""
    from imagededup.methods import PHash

    encodings = {f"{number:06d}": row.tobytes().hex() for number, row in enumerate(hashes)}
    started = time.perf_counter()
    PHash(verbose=False).find_duplicates(encoding_map=encodings, max_distance_threshold=10)
    return {"seconds": time.perf_counter() - started}


def main() -> None:
    result: dict[str, object] = {f"all_alike_{MANY}": time_facemask(similar_hashes(MANY, 32))}
    result["peak_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    result[f"pairs_{MANY}"] = time_facemask(hash_pairs(MANY, 32))
    if find_spec("imagededup"):
        ratios = {}
        for name, make in (("all_alike", similar_hashes), ("pairs", hash_pairs)):
            # imagededup lists every pair: 20,000 similar hashes have 400 million, so it gets a tenth of them.
            count = FEW // 10 if name == "all_alike" else FEW
            own, other = time_facemask(make(count, 32)), time_imagededup(make(count, 8))
            ratios[f"{name}_{count}"] = {
                "ours_s": own["seconds"],
                "imagededup_s": other["seconds"],
                "ratio": other["seconds"] / own["seconds"],
            }
        result["against_imagededup"] = ratios
    print(json.dumps(result))


if __name__ == "__main__":
    main()
