"""Speed of the search for near-duplicates, alone and against imagededup: `python -m benchmarks.dedup`.

Images are random textures with as much detail as faces have. imagededup's PHash.find_duplicates gets 64-bit hashes (it
has no others) at its default distance of 10, and compares no pixels. Without imagededup (`pip install imagededup`) the
comparison is left out. Times are of the search without reading tables. Prints JSON last.
"""

import json
import resource
import time
from importlib.util import find_spec

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.curation.face_patches import PATCH_PX, face_hashes
from pipeline.curation.near_duplicates import Fingerprints, ImageHashes, find_duplicates
from pipeline.curation.rules import DedupParams

MANY, FEW = 200_000, 20_000
LIMITS = DedupParams(max_hash_distance=76, min_similarity=0.77, max_removed=1)


def textures(count: int, seed: int) -> NDArray[np.uint8]:
    """(count, PATCH_PX, PATCH_PX): random pictures, smooth like faces."""
    random = np.random.default_rng(seed)
    pictures = np.empty((count, PATCH_PX, PATCH_PX), np.uint8)
    for picture in pictures:
        noise = random.normal(size=(12, 12)).astype(np.float32)
        large = cv2.resize(noise, (PATCH_PX, PATCH_PX), interpolation=cv2.INTER_CUBIC)
        picture[:] = np.clip(128 + 40 * large, 1, 255)
    return pictures


def fingerprints(patches: NDArray[np.uint8]) -> Fingerprints:
    """The fingerprints of images that consist of their face patch."""
    columns = []
    for start in range(0, len(patches), 10_000):
        columns.append(face_hashes(list(patches[start : start + 10_000])))
    hashes, mirrored = (
        np.frombuffer(b"".join(hash_ for part in side for hash_ in part), np.uint8).reshape(-1, 32)
        for side in zip(*columns, strict=True)
    )
    both = ImageHashes(hashes, mirrored)
    frames = np.broadcast_to(np.eye(2, 3, dtype=np.float32), (len(patches), 2, 3))
    return Fingerprints(both, both, patches, frames)


def all_alike(count: int) -> NDArray[np.uint8]:
    """(count, PATCH_PX, PATCH_PX): one picture in slightly different brightness."""
    picture = np.minimum(textures(1, 0), 249)
    return picture + np.random.default_rng(0).integers(0, 6, (count, 1, 1), np.uint8)


def in_pairs(count: int) -> NDArray[np.uint8]:
    """(count, PATCH_PX, PATCH_PX): random pictures, each with a copy that is brighter and has noise."""
    pictures = np.repeat(textures(count // 2, 1), 2, axis=0)
    random = np.random.default_rng(2)
    for start in range(1, count, 4_000):
        copies = pictures[start : start + 4_000 : 2]
        copies[:] = np.clip(copies + 10.0 + random.normal(0, 2, copies.shape), 1, 255)
    return pictures


def time_facemask(prints: Fingerprints) -> dict[str, float]:
    """Seconds, and how many images are left."""
    started = time.perf_counter()
    found = find_duplicates(prints, LIMITS)
    return {"seconds": time.perf_counter() - started, "kept": int((found.first < 0).sum())}


def time_imagededup(prints: Fingerprints) -> dict[str, float]:
    """Seconds."""
    from imagededup.methods import PHash

    encodings = {f"{number:06d}": row[:8].tobytes().hex() for number, row in enumerate(prints.photo.hashes)}
    started = time.perf_counter()
    PHash(verbose=False).find_duplicates(encoding_map=encodings, max_distance_threshold=10)
    return {"seconds": time.perf_counter() - started}


def main() -> None:
    result: dict[str, object] = {}
    for name, make in (("all_alike", all_alike), ("pairs", in_pairs)):
        prints = fingerprints(make(MANY))
        result[f"{name}_{MANY}"] = time_facemask(prints)
        print(name, result[f"{name}_{MANY}"], flush=True)
        del prints  # before the next ones are made: the peak is to be the search's
    result["peak_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    if find_spec("imagededup"):
        ratios = {}
        for name, make in (("all_alike", all_alike), ("pairs", in_pairs)):
            # imagededup lists every pair: 20,000 similar hashes have 400 million, so it gets a tenth of them.
            prints = fingerprints(make(FEW // 10 if name == "all_alike" else FEW))
            own, other = time_facemask(prints), time_imagededup(prints)
            ratios[f"{name}_{len(prints)}"] = {
                "ours_s": own["seconds"],
                "imagededup_s": other["seconds"],
                "ratio": other["seconds"] / own["seconds"],
            }
        result["against_imagededup"] = ratios
    print(json.dumps(result))


if __name__ == "__main__":
    main()
