"""Parts of benchmarks.gpu: the loader's speed, resuming, and 512 px; eager, the latter two with method cyclegan."""

import itertools
import statistics
import time
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from benchmarks.gpu_speed import Bench, Step, guided_context, guided_params, guided_step, random_batches, timed
from benchmarks.train import OurStep, batch_of, seconds, write_pack
from models.methods.method import Batch, DrawnInputs
from models.params import TrainParams, values_used
from models.training import checkpoint
from models.training.checkpoint import CheckpointInfo, TrainingState
from models.training.data import TrainingSet, load_px, training_batch
from models.training.drawn_inputs import drawn_masks
from models.training.feeding import batches
from models.training.step import TrainingContext
from pipeline.storage import packed_arrays as packed
from pipeline.storage.files import sha256

_FACES = 2000  # of each domain in the pack: 0.5 GB


def feeding(bench: Bench) -> dict[str, object]:
    """Images/s of one domain, while both are read, for both methods: the loader alone, the step alone, and together.

    One process makes batches with training_batch; the loader has the worker processes of models.training.feeding. The
    guided method's loader also draws masks and bare faces, where the faces have landmarks: those of --pack do.
    """
    guided = guided_params(bench.params)
    ours = OurStep(bench.params, bench.eager)
    return {
        "cyclegan": _fed(ours, ours.context, bench),
        "guided": _fed(guided_step(guided, bench.eager), guided_context(guided, bench.eager), bench),
    }


def _fed(step: Step, context: TrainingContext, bench: Bench) -> dict[str, object]:
    """The rates for one method's step."""
    faces = bench.pack or _random_pack(bench)
    opened = {domain: packed.read_set(faces, domain, "train") for domain in packed.DOMAINS}
    drawn = context.method.drawn_inputs(context.params)
    masks = None if drawn == DrawnInputs() else drawn_masks(opened["unmasked"], opened["masked"], [], drawn)
    sets = {domain: TrainingSet(domain, one, np.arange(len(one)), masks) for domain, one in opened.items()}
    params = context.params

    def one_process() -> None:
        for domain in packed.DOMAINS:
            training_batch(sets[domain], params.seed, range(params.batch_size), params.image_px)

    one_process()
    single = statistics.median(seconds(one_process, torch.device("cpu")) for _ in range(min(3, bench.rounds)))
    ready = random_batches(params, bench.device.device)
    result: dict[str, object] = {
        "faces": {domain: len(one) for domain, one in opened.items()},
        "pack_px": opened["masked"].images.shape[1],
        "with_landmarks": not bool(np.isnan(opened["masked"].landmarks[0]).any()),
        "one_process_images_per_s": round(params.batch_size / single, 1),
    }
    # Before the loader alone is timed, its workers start, and what they made ahead is used up.
    rate = partial(_rate, bench)
    result["loader_images_per_s"] = rate(batches(sets, context, 0), None, 20)
    result["step_images_per_s"] = rate(itertools.repeat((range(0), *ready)), step, 3)
    result["step_with_loader_images_per_s"] = rate(batches(sets, context, 0), step, 10)
    return result


def _random_pack(bench: Bench) -> Path:
    """A memory-mapped pack of random pictures at the side that training at image_px wants: 286 for 256."""
    folder, px = bench.scratch / "pack", load_px(bench.params.image_px, 1024)
    if not folder.exists():
        folder.mkdir()
        count = 16 if bench.smoke else _FACES
        write_pack(folder, np.random.default_rng(0).integers(0, 256, (count, px, px, 3), np.uint8))
    return folder


def _positions(params: TrainParams, number: int) -> range:
    return range(number * params.batch_size, (number + 1) * params.batch_size)


def _rate(bench: Bench, source: Iterable[tuple[range, Batch, Batch]], step: Step | None, ahead: int) -> float:
    """Images/s by the clock of batches, and of the step on them if there is one; `ahead` batches go before, untimed."""
    coming = iter(source)

    def take(count: int) -> None:
        for _, unmasked, masked in itertools.islice(coming, count):
            if step:
                step(unmasked, masked)
        if bench.device.device.type == "cuda":
            torch.cuda.synchronize()

    take(1 if bench.smoke else ahead)
    count = 2 if bench.smoke else 20 if step is None else 10
    started = time.perf_counter()
    take(count)
    return round(count * bench.params.batch_size / (time.perf_counter() - started), 1)


def resume(bench: Bench) -> dict[str, object]:
    """Is a training that was saved and resumed equal to one that was not? As training runs, and deterministic."""
    result: dict[str, object] = {"usual": _resumed_against_whole(bench)}
    with _deterministic() as lacking:
        result["deterministic"] = _resumed_against_whole(bench)
    return result | {"without_deterministic_implementation": sorted(lacking)}


def _resumed_against_whole(bench: Bench) -> dict[str, object]:
    """Greatest differences of weights: two trainings alike (what cuDNN allows), and one saved and resumed halfway."""
    half = 2 if bench.smoke else 6
    faces = _random_pack(bench)
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
