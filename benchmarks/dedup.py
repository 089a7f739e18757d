"""How fast near-duplicates are found, alone and against imagededup, in one run: `python -m benchmarks.dedup`.

imagededup's PHash.find_duplicates gets 64-bit hashes (it knows no others) at its default distance of 10; facemask gets
256-bit ones. Without imagededup (`pip install imagededup`) that part is left out. Prints JSON last.
"""

import json
import resource
import time
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from pipeline.curation.near_duplicates import find_duplicates

MANY, FEW, MAX_BITS = 200_000, 20_000, 72


def alike(count: int, width: int) -> NDArray[np.uint8]:
    """Hashes of `width` bytes that all differ from one by a few bits."""
    random = np.random.default_rng(0)
    hashes = np.repeat(random.integers(0, 256, (1, width), dtype=np.uint8), count, axis=0)
    for _ in range(max(1, width // 8)):
        hashes[np.arange(count), random.integers(0, width, count)] ^= (1 << random.integers(0, 8, count)).astype(
            np.uint8
        )
    return hashes


def pairs_of(count: int, width: int) -> NDArray[np.uint8]:
    """Random hashes, each twice but for one bit."""
    random = np.random.default_rng(1)
    hashes = np.repeat(random.integers(0, 256, (count // 2, width), dtype=np.uint8), 2, axis=0)
    hashes[::2, 0] ^= 1
    return hashes


def ours(hashes: NDArray[np.uint8]) -> dict[str, float]:
    started = time.perf_counter()
    found = find_duplicates(hashes, ~hashes, MAX_BITS)
    return {"seconds": time.perf_counter() - started, "kept": int((found.kept < 0).sum())}


def theirs(hashes: NDArray[np.uint8]) -> dict[str, float]:
    from imagededup.methods import PHash

    encodings = {f"{number:06d}": row.tobytes().hex() for number, row in enumerate(hashes)}
    started = time.perf_counter()
    PHash(verbose=False).find_duplicates(encoding_map=encodings, max_distance_threshold=10)
    return {"seconds": time.perf_counter() - started}


def main() -> None:
    result: dict[str, object] = {f"all_alike_{MANY}": ours(alike(MANY, 32))}
    result["peak_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    result[f"pairs_{MANY}"] = ours(pairs_of(MANY, 32))
    if find_spec("imagededup"):
        ratios = {}
        for name, make in (("all_alike", alike), ("pairs", pairs_of)):
            # Alike, imagededup lists every pair: 20,000 would be 400 million entries, so it gets a tenth.
            count = FEW // 10 if name == "all_alike" else FEW
            own, other = ours(make(count, 32)), theirs(make(count, 8))
            ratios[f"{name}_{count}"] = {
                "ours_s": own["seconds"],
                "imagededup_s": other["seconds"],
                "ratio": other["seconds"] / own["seconds"],
            }
        result["against_imagededup"] = ratios
    print(json.dumps(result))


if __name__ == "__main__":
    main()
