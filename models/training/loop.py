"""Stage `train`: a CycleGAN on the packed faces. To resume, run the same command again.

Progress is counted in images of one domain; both domains advance together. On several GPUs or machines the same command
runs under torchrun: `torchrun --nproc-per-node 4 -m models train`.
"""

import fcntl
import json
import math
import shutil
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.optim.lr_scheduler import ReduceLROnPlateau

from models.params import START_NAME, TrainParams
from models.training import checkpoint
from models.training.checkpoint import DISCRIMINATORS, GENERATORS, CheckpointInfo, Describe, TrainingState
from models.training.data import balanced_by_yaw, training_batch
from models.training.device import TrainingDevice, training_device
from models.training.distributed import ProcessGroup, process_group
from models.training.image_pool import ImagePool
from models.training.preemption import STOPPED, stop_requested
from models.training.sample_strip import compose_strip, write_strip
from models.training.step import Batch, make_objectives, train_step
from models.training.tracking import Row, draw, open_board, open_live, show
from pipeline import messages
from pipeline.errors import FacemaskError
from pipeline.storage.files import digest_of, replacing_folder, sha256, work_folder
from pipeline.storage.packed_arrays import DOMAINS, PackedSet, read_info, read_set

_REPORT_SECONDS = 5.0
_SPEED_OVER = 12  # reports: a minute, so that what compiling took is soon forgotten
_CURVE_POINTS = 200
_SMOOTHING = 0.95  # of the running mean of each loss


def train(params: TrainParams, pack: Path, checkpoints: Path, reports: Path, start: Path | None = None) -> None:
    """Train, or go on, until params.images; then move `checkpoints` and `reports` into place whole.

    `start` is what stage `start` wrote: weights to begin with, or a word that there are none.
    """
    info = read_info(pack)
    sets = {domain: _training_set(pack, domain, params) for domain in DOMAINS}
    epochs = _epochs(sets, params)
    pack_sha256 = sha256(pack / "pack.json")
    started_from = _started_from(start, params)
    work = work_folder("train", digest_of(asdict(params), pack_sha256, started_from))
    machine = training_device(params)

    def describe(weights_sha256: dict[str, str]) -> CheckpointInfo:
        return CheckpointInfo(
            checkpoint.SCHEMA, state.images_seen, asdict(params), pack_sha256, weights_sha256,
            state.losses, info.data_licence, started_from,
        )  # fmt: skip

    with process_group() as group, _alone_in(work, group), stop_requested() as stop:
        group.check_divisible(params.images, params.batch_size)
        say = _say if group.is_main else _silent
        say_progress = messages.progress if group.is_main else _silent
        counts = " and ".join(f"{len(sets[domain])} {domain}" for domain in DOMAINS)
        say(f"training on {counts} faces; {machine.why}; work in {work}")
        state = fresh_state(params, machine)
        if latest := _latest(work):
            checkpoint.load(latest, state, params, pack_sha256)
            say(f"resuming at {state.images_seen} images")
        elif start and started_from:
            checkpoint.load_networks(start, state)
            say(f"starting from the weights of model {started_from['model']}")
        objectives = make_objectives(state, params, machine, group)
        live = open_live(work / "live", state.history) if group.is_main else None
        board = open_board(work_folder("tensorboard") / work.name, state.images_seen) if group.is_main else None
        if state.images_seen == 0 and group.is_main:
            write_strip(work / "strips", state, pack, params, machine)

        reports_at = deque([(time.monotonic(), state.images_seen)], maxlen=_SPEED_OVER)
        reported = 0.0
        epoch = max(len(packed) for packed in sets.values())  # images, as the paper's code counts: of the larger domain
        while state.images_seen < params.images:
            # One step.
            before = state.images_seen
            positions = range(before, min(before + params.batch_size, params.images))
            plain, masked = (
                _batch(sets[domain], epochs[domain], domain, params, group.share(positions), machine)
                for domain in DOMAINS
            )
            losses = train_step(state, objectives, plain, masked, params, machine, group)
            _stop_at_nan(losses, before, work)
            set_learning_rates(state, params)
            for optimiser in state.optimisers.values():
                optimiser.step()
            state.images_seen = positions.stop
            state.losses = {
                name: _SMOOTHING * state.losses.get(name, value) + (1 - _SMOOTHING) * value
                for name, value in losses.items()
            }
            if _passes(before, state.images_seen, epoch):
                for plateau in state.plateaus.values():
                    plateau.step(state.losses["cycle"])

            # A point of the curves.
            if _passes(before, state.images_seen, max(1, params.images // _CURVE_POINTS)):
                row = {"images": state.images_seen, **state.losses}
                row["learning_rate"] = state.optimisers["generators"].param_groups[0]["lr"]
                state.history.append(row)
                if live:
                    show(live, row)
                if board:
                    draw(board, row)

            # A line of progress.
            now = time.monotonic()
            if now - reported >= _REPORT_SECONDS or state.images_seen == params.images:
                reported = now
                then, seen_then = reports_at[0]
                line = _progress_line(state, params, (state.images_seen - seen_then) / (now - then), machine)
                say_progress(line, state.images_seen, params.images)
                reports_at.append((now, state.images_seen))

            # A checkpoint and a strip of samples.
            stopping = group.any(stop())
            done = state.images_seen == params.images
            due = done or _passes(before, state.images_seen, params.save_every_images)
            if due or stopping:
                _stop_at_nan(_weight_sums(state), state.images_seen, work)
                # Not when stopping: the pictures are to be those of a training that was never stopped.
                if group.is_main and due:
                    write_strip(work / "strips", state, pack, params, machine)
                if group.is_main:
                    _save_latest(work, state, describe)
                group.wait()
            if stopping and not done:
                if group.is_main:
                    messages.stopped(f"stopped, state saved at {state.images_seen} images; run again to go on")
                sys.exit(STOPPED)

        if live:
            live.end()  # type: ignore[no-untyped-call]
        if board:
            board.close()
        if group.is_main:
            compose_strip(work / "strips", work / "live" / "progress.png")
            _publish(_require_latest(work), checkpoints)
            _publish(work / "live", reports)
            # Finished work would be taken for this run's if the code changed; an interrupted one goes on.
            shutil.rmtree(work)
        say(f"trained on {params.images} images a domain: {checkpoints}/, {reports}/")


def learning_rate(params: TrainParams, images_seen: int) -> float:
    """Constant over the first half of training, then linear to 0 (Zhu et al. 2017, section 4)."""
    return params.learning_rate * min(1.0, 2 * (1 - images_seen / params.images))


def set_learning_rates(state: TrainingState, params: TrainParams) -> None:
    """As `train.schedule` says for the step that comes; by plateau, state.plateaus have set it already."""
    if params.schedule == "linear":
        for optimiser in state.optimisers.values():
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(params, state.images_seen)


def _started_from(start: Path | None, params: TrainParams) -> dict[str, str] | None:
    """What start.json says of the weights to begin with; None where there are none, or they are of other networks."""
    if start is None:
        return None
    try:
        said: dict[str, str] = json.loads((start / START_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FacemaskError(f"{start} does not say what to start from: run 'dvc repro start'") from error
    if not said["model"]:
        return None
    if other := checkpoint.other_schema(start):
        print(f"model {said['model']} is of another facemask ({other}): starting from fresh weights", flush=True)
        return None
    if differ := checkpoint.other_networks(checkpoint.read_info(start), params):
        print(f"model {said['model']} is of another architecture ({differ}): starting from fresh weights", flush=True)
        return None
    return said


def _training_set(pack: Path, domain: str, params: TrainParams) -> PackedSet:
    packed = read_set(pack, domain, "train")
    if len(packed) == 0:
        raise FacemaskError(
            f"no {domain} faces to train on in {pack}: see reports/curation.json for why they were dropped"
        )
    if packed.images.shape[1] < params.image_px:
        raise FacemaskError(
            f"train.image_px is {params.image_px}, but {pack} is packed at {packed.images.shape[1]} px: "
            "lower it, or raise pack.load_px"
        )
    return packed


def fresh_state(params: TrainParams, machine: TrainingDevice) -> TrainingState:
    networks = checkpoint.make_networks(params)
    for network in networks.values():
        network.to(machine.device)
    optimisers: dict[str, torch.optim.Optimizer] = {}
    for side, names in (("generators", GENERATORS), ("discriminators", DISCRIMINATORS)):
        weights = [weight for name in names for weight in networks[name].parameters()]
        optimisers[side] = torch.optim.Adam(weights, lr=params.learning_rate, betas=(0.5, 0.999), fused=True)
    pools = {domain: ImagePool(params.pool_size) for domain in DOMAINS}
    plateaus = {}
    if (
        params.schedule == "plateau"
    ):  # the numbers of the original study, which took them from the CycleGAN authors' code
        plateaus = {
            name: ReduceLROnPlateau(optimiser, mode="min", factor=0.2, threshold=0.01, patience=5)
            for name, optimiser in optimisers.items()
        }
    return TrainingState(networks, optimisers, plateaus, pools, images_seen=0, losses={}, history=[])


def _epochs(sets: dict[str, PackedSet], params: TrainParams) -> dict[str, NDArray[np.int64]]:
    """What an epoch of each domain shows; the paper's networks see each image once."""
    if params.generator == "resnet":
        return {domain: np.arange(len(packed)) for domain, packed in sets.items()}
    masked, plain = sets["masked"], sets["unmasked"]
    return {"masked": balanced_by_yaw(masked, plain), "unmasked": balanced_by_yaw(plain, masked)}


def _batch(
    packed: PackedSet,
    epoch: NDArray[np.int64],
    domain: str,
    params: TrainParams,
    positions: range,
    machine: TrainingDevice,
) -> Batch:
    images, guides = training_batch(packed, epoch, domain, params.seed, positions, params.image_px)
    return Batch(images.to(machine.device), guides.to(machine.device), positions)


def _stop_at_nan(losses: Row, images_seen: int, work: Path) -> None:
    bad = [name for name, value in losses.items() if not math.isfinite(value)]
    if bad:
        kept = _latest(work)
        raise FacemaskError(
            f"training stopped at image {images_seen}: {', '.join(bad)} is not a finite number; "
            f"the last good state is {kept or 'none'}: lower train.learning_rate, then run again"
        )


def _weight_sums(state: TrainingState) -> Row:
    """One number a network, not finite if any of its weights is not: finite losses may hide such gradients."""
    return {
        name: float(sum(weight.detach().abs().sum() for weight in network.parameters()))
        for name, network in state.networks.items()
    }


def _passes(before: int, after: int, every: int) -> bool:
    """Whether a multiple of `every` lies in (before, after]."""
    return after // every > before // every


def _progress_line(state: TrainingState, params: TrainParams, speed: float, machine: TrainingDevice) -> str:
    left = round((params.images - state.images_seen) / speed) if speed else 0
    told = " ".join(f"{name} {value:.3f}" for name, value in state.losses.items())
    time_left = f"{left // 3600}:{left // 60 % 60:02d}:{left % 60:02d}"
    how_fast = f"{speed:.1f}/s, {time_left} left, {machine.memory_gb():.1f} GB"
    return f"{state.images_seen}/{params.images} images, {how_fast}; {told}"


def _say(line: str) -> None:
    print(line, flush=True)


def _silent(*_: object) -> None:
    """What the processes of a group other than the main one print: nothing."""


@contextmanager
def _alone_in(work: Path, group: ProcessGroup) -> Iterator[None]:
    """Hold the work folder; a second training of the same work is refused, not mixed in."""
    if not group.is_main:
        yield
        return
    with (work / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise FacemaskError(f"another process is training in {work}: wait for it, or end it") from error
        yield


def _latest(work: Path) -> Path | None:
    states = sorted(work.glob("state-*"))
    return states[-1] if states else None


def _require_latest(work: Path) -> Path:
    latest = _latest(work)
    assert latest is not None  # the last image always saves
    return latest


def _save_latest(work: Path, state: TrainingState, describe: Describe) -> None:
    """Save the newest state, then drop the ones before it."""
    newest = work / f"state-{state.images_seen:012d}"
    checkpoint.save(newest, state, describe)
    for older in work.glob("state-*"):
        if older != newest:
            shutil.rmtree(older)


def _publish(made: Path, target: Path) -> None:
    """Copy a finished folder beside its target (work/ may lie on another disk), then swap it in."""
    with replacing_folder(target) as beside:
        shutil.copytree(made, beside, dirs_exist_ok=True)
