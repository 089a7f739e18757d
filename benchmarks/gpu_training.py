"""Parts of benchmarks.gpu: the loader's speed, resuming, and 512 px. All with the method cyclegan, eager."""

import itertools
import os
import time
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from benchmarks.gpu_speed import Bench, timed
from benchmarks.train import OurStep, batch_of, write_pack
from models.methods.method import Batch, Faces
from models.params import TrainParams, values_used
from models.training import checkpoint
from models.training.checkpoint import CheckpointInfo, TrainingState
from models.training.data import TrainingSet, load_px, training_batch
from pipeline.storage import packed_arrays as packed
from pipeline.storage.files import sha256

_FACES = 2000  # of each domain in the pack: 0.8 GB with their conditioning maps


def feeding(bench: Bench) -> dict[str, object]:
    """Images/s of one domain, while both are read: the loader alone, with one thread and more, and with the step.

    `loader_then_step` is what models.training.loop does; `loader_beside_step_pinned` loads the next batch in a thread,
    into pinned memory, while the step runs.
    """
    faces, params = _random_pack(bench, 16 if bench.smoke else _FACES), bench.params
    sets = _training_sets(faces)
    batches = 2 if bench.smoke else 40
    threads = sorted({1, 2, 4, 8, os.cpu_count() or 1}) if not bench.smoke else [1, 2]
    result: dict[str, object] = {
        "faces_a_domain": len(sets["masked"].packed),
        "pack_px": sets["masked"].packed.images.shape[1],
        "loader_images_per_s": {str(count): _loader_rate(sets, params, batches, count) for count in threads},
    }
    step = OurStep(params, bench.eager)
    ready = next(iter(_loaded(sets, params, range(1), bench)))
    for _ in range(3):
        step(*ready)
    steps = range(2 if bench.smoke else 15)
    with ThreadPoolExecutor(1) as thread:
        ways: dict[str, Iterable[tuple[Batch, Batch]]] = {
            "step": itertools.repeat(ready, len(steps)),
            "loader_then_step": _loaded(sets, params, steps, bench),
            "loader_beside_step_pinned": _ahead(sets, params, steps, bench, thread),
        }
        for name, source in ways.items():
            result[f"{name}_images_per_s"] = round(params.batch_size * len(steps) / _wall(step, source, bench), 1)
    return result


def _random_pack(bench: Bench, count: int) -> Path:
    """A memory-mapped pack of random pictures at the side that training at image_px wants: 286 for 256."""
    folder, px = bench.scratch / "pack", load_px(bench.params.image_px, 1024)
    if not folder.exists():
        folder.mkdir()
        write_pack(folder, np.random.default_rng(0).integers(0, 256, (count, px, px, 3), np.uint8))
    return folder


def _training_sets(faces: Path) -> dict[str, TrainingSet]:
    opened = {domain: packed.read_set(faces, domain, "train") for domain in packed.DOMAINS}
    return {domain: TrainingSet(domain, one, np.arange(len(one))) for domain, one in opened.items()}


def _positions(params: TrainParams, number: int) -> range:
    return range(number * params.batch_size, (number + 1) * params.batch_size)


def _loader_rate(sets: dict[str, TrainingSet], params: TrainParams, batches: int, threads: int) -> float:
    """Images/s of one domain, of batches of both domains, with so many threads that each make whole batches."""

    def load(number: int) -> None:
        for domain in packed.DOMAINS:
            training_batch(sets[domain], params.seed, _positions(params, number), params.image_px)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(load, range(threads)))
        started = time.perf_counter()
        list(pool.map(load, range(batches)))
        return round(batches * params.batch_size / (time.perf_counter() - started), 1)


def _loaded(
    sets: dict[str, TrainingSet], params: TrainParams, numbers: range, bench: Bench
) -> Iterator[tuple[Batch, Batch]]:
    """Batches (unmasked, masked) on the device, loaded when they are asked for, as models.training.loop does."""
    for number in numbers:
        batches = [_load(sets[domain], params, number, pinned=False) for domain in packed.DOMAINS]
        yield _on_device(batches[0], bench), _on_device(batches[1], bench)


def _ahead(
    sets: dict[str, TrainingSet], params: TrainParams, numbers: range, bench: Bench, thread: ThreadPoolExecutor
) -> Iterator[tuple[Batch, Batch]]:
    """The same, loaded into pinned memory by another thread while the step before runs."""
    pinned = bench.device.device.type == "cuda"

    def load(number: int) -> list[Batch]:
        return [_load(sets[domain], params, number, pinned=pinned) for domain in packed.DOMAINS]

    coming = thread.submit(load, numbers[0])
    for number in numbers:
        batches = coming.result()
        coming = thread.submit(load, number + 1)
        yield _on_device(batches[0], bench), _on_device(batches[1], bench)


def _load(data: TrainingSet, params: TrainParams, number: int, *, pinned: bool) -> Batch:
    positions = _positions(params, number)
    tensors = training_batch(data, params.seed, positions, params.image_px)
    return Batch(Faces(*(tensor.pin_memory() if pinned else tensor for tensor in tensors)), positions)


def _on_device(batch: Batch, bench: Bench) -> Batch:
    """The batch on the device; from pinned memory without waiting."""
    return Batch(Faces(*(part.to(bench.device.device, non_blocking=True) for part in batch.faces)), batch.positions)


def _wall(step: OurStep, source: Iterable[tuple[Batch, Batch]], bench: Bench) -> float:
    """Seconds by the clock that steps on all batches of `source` take."""
    started = time.perf_counter()
    for unmasked, masked in source:
        step(unmasked, masked)
    if bench.device.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def resume(bench: Bench) -> dict[str, object]:
    """Is a training that was saved and resumed equal to one that was not? As training runs, and deterministic."""
    result: dict[str, object] = {"usual": _resumed_against_whole(bench)}
    with _deterministic() as lacking:
        result["deterministic"] = _resumed_against_whole(bench)
    return result | {"without_deterministic_implementation": sorted(lacking)}


def _resumed_against_whole(bench: Bench) -> dict[str, object]:
    """Greatest differences of weights: two trainings alike (what cuDNN allows), and one saved and resumed halfway."""
    half = 2 if bench.smoke else 6
    faces = _random_pack(bench, 16 if bench.smoke else _FACES)
    train = partial(_train, faces, bench)
    whole, again, first = (train(OurStep(bench.params, bench.eager), 0, end) for end in (2 * half, 2 * half, half))
    folder = bench.scratch / "state"
    checkpoint.save(folder, first.state, partial(_describe, faces, first))
    second = OurStep(bench.params, bench.eager)
    checkpoint.load(folder, second.state, bench.params, sha256(faces / "pack.json"))
    loaded = _difference(first.state, second.state)
    train(second, half, 2 * half)
    return {
        "steps": 2 * half,
        "loaded_against_saved": loaded,
        "again_against_whole": _difference(again.state, whole.state),
        "resumed_against_whole": _difference(second.state, whole.state),
        "resumed_is_bit_exact": _difference(second.state, whole.state) == 0,
        "weights_moved_by": _difference(OurStep(bench.params, bench.eager).state, whole.state),
    }


def _train(faces: Path, bench: Bench, step: OurStep, begin: int, end: int) -> OurStep:
    """Take the steps begin to end of a training; returns `step`."""
    params, device = bench.params, bench.device.device
    for number in range(begin, end):
        unmasked, masked = (
            batch_of(
                packed.read_set(faces, domain, "train"),
                domain, params.seed, _positions(params, number), params.image_px, device,
            )
            for domain in packed.DOMAINS
        )  # fmt: skip
        step(unmasked, masked)
    return step


def _describe(faces: Path, step: OurStep, weights_sha256: dict[str, str]) -> CheckpointInfo:
    params = step.context.params
    return CheckpointInfo(
        schema=checkpoint.SCHEMA, images_seen=step.state.images_seen, generator=step.context.method.generator,
        params=values_used(params), losses={}, data_licence="generated",
        pack_sha256=sha256(faces / "pack.json"), weights_sha256=weights_sha256,
    )  # fmt: skip


def _difference(one: TrainingState, other: TrainingState) -> float:
    """The greatest absolute difference of any weight."""
    pairs = [
        (weight, other.networks[name].state_dict()[key])
        for name, network in one.networks.items()
        for key, weight in network.state_dict().items()
    ]
    return max(float((left - right).abs().max()) for left, right in pairs)


@contextmanager
def _deterministic() -> Iterator[set[str]]:
    """Deterministic algorithms where there are any; yields, at its end, the operators that have none."""
    lacking: set[str] = set()
    benchmarking = torch.backends.cudnn.benchmark
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield lacking
            lacking |= {str(one.message).split(" does not have")[0] for one in caught if "determin" in str(one.message)}
    finally:
        torch.use_deterministic_algorithms(False)
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = False, benchmarking


def large(bench: Bench) -> dict[str, object]:
    """The eager step at 512 px, batch 2 and 4: ms an image, peak memory, and hours for 1.2 million images."""
    result: dict[str, object] = {}
    for batch in (2, 4):
        params = replace(bench.params, image_px=64 if bench.smoke else 512, batch_size=batch)
        found = timed(OurStep(params, bench.eager), params, bench)
        hours = 1.2e6 * float(str(found["ms_per_image"])) / 3.6e6
        result[f"{params.image_px}px_batch_{batch}"] = found | {"hours_for_1.2_million_images": round(hours, 1)}
    return result
