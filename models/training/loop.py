"""Stage `train`: train the networks of `train.method` on the packed faces. To resume, run the same command again.

Progress is counted in images of one domain; both domains advance together. On several GPUs or machines the same command
runs under torchrun: `torchrun --nproc-per-node 4 -m models train`.
"""

import json
import math
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

from models.methods.method import DrawnInputs, load_method
from models.params import START_NAME, TrainParams, values_used
from models.training import checkpoint
from models.training.checkpoint import CheckpointInfo, StartingModel, TrainingState
from models.training.data import TrainingSet
from models.training.device import deterministic_algorithms, training_device
from models.training.distributed import ProcessGroup, process_group
from models.training.drawn_inputs import drawn_masks
from models.training.feeding import batches
from models.training.optimisers import fresh_state, progress, set_learning_rates
from models.training.preemption import STOPPED, stop_requested
from models.training.progress_line import ProgressLine
from models.training.sample_strip import compose_strip, write_row
from models.training.step import Objectives, TrainingContext, make_objectives, train_step
from models.training.tracking import Curves, Row, open_curves
from models.training.work_folder import latest_state, mark_finished, publish, remove_finished, save_latest
from models.weight_average import MAX_HALF_LIFE, move_average, new_average
from pipeline import messages
from pipeline.errors import FacemaskError
from pipeline.masks import mask_set
from pipeline.paths import Paths
from pipeline.storage.code_digest import closure_digest
from pipeline.storage.files import digest_of, locked, sha256
from pipeline.storage.packed_arrays import DOMAINS, PackedSet, read_info, read_set

_CURVE_POINTS = 200
_SMOOTHING = 0.95  # of the running mean of each loss


@dataclass(frozen=True)
class _Inputs:
    """What the result of a training depends on, beside the code."""

    params: TrainParams
    sets: dict[str, TrainingSet]  # by domain
    pack_sha256: str
    data_licence: str
    started_from: StartingModel | None

    def digest(self) -> str:
        """16 hex digits, by which the work folder is named. How often a state is saved changes no weight."""
        started_from = asdict(self.started_from) if self.started_from else None
        values = {key: value for key, value in values_used(self.params).items() if key != "save_every_images"}
        return digest_of(values, self.pack_sha256, started_from)


@dataclass(frozen=True)
class _Run:
    """One run of the stage, new or resumed."""

    inputs: _Inputs
    context: TrainingContext
    state: TrainingState
    objectives: Objectives
    curves: Curves
    pack: Path
    work: Path


def train(params: TrainParams, paths: Paths) -> None:
    """Train, or resume, until params.images_per_domain or params.minutes; then move checkpoint and curves into place.

    Training starts from the weights in data/start, if stage `start` put any there. After SIGTERM the state is saved and
    the process exits with status STOPPED. Raises FacemaskError for unusable inputs and for losses that are not finite.
    """
    inputs = _read_inputs(params, paths)
    work = paths.work("train", inputs.digest())
    code = digest_of(closure_digest("models.training.loop"), closure_digest(f"models.methods.{params.method}"))
    with (
        deterministic_algorithms(params.deterministic),
        process_group() as group,
        _lock(work, group),
        stop_requested() as stop,
    ):
        group.check_divisible(params.images_per_domain, params.batch_size)
        if group.is_main:
            remove_finished(work, code)
        group.wait()
        context = TrainingContext(params, load_method(params.method), training_device(params), group)
        counts = " and ".join(f"{len(inputs.sets[domain].packed)} {domain}" for domain in DOMAINS)
        _print(f"training on {counts} faces; {context.device.description}; work in {work}", group)
        state = _first_state(inputs, context, work, paths.start)
        objectives = make_objectives(state, context)
        curves = Curves()
        if group.is_main:
            board = paths.work("tensorboard") / work.name
            curves = open_curves(work / "live", board, state.history, state.images_seen)
            if state.images_seen == 0:
                write_row(work / "strips", state, paths.pack, context)

        if context.device.compile:
            _print(
                "compiling the step: one to three minutes before the first line of progress, seconds the next time",
                group,
            )
        _train_to_end(_Run(inputs, context, state, objectives, curves, paths.pack, work), stop)

        curves.close()
        if group.is_main:
            compose_strip(work / "strips", work / "live" / "progress.png")
            masks = [paths.pack / mask_set.NAME] if context.method.drawn_inputs(params).drawings else []
            publish(work / f"state-{state.images_seen:012d}", paths.checkpoints, masks)
            publish(work / "live", paths.training_report)
            mark_finished(work, code)
        results = f"{paths.checkpoints}/, {paths.training_report}/"
        _print(f"trained on {state.images_seen} images of each domain: {results}", group)


def _train_to_end(run: _Run, stop: Callable[[], bool]) -> None:
    """Step until all images are seen, with curves, progress and checkpoints between the steps."""
    state, params, group = run.state, run.context.params, run.context.group
    epoch = max(len(data.packed) for data in run.inputs.sets.values())  # of the larger domain, as in the authors' code
    line = ProgressLine(state.images_seen, run.context.device)
    started, seconds_before = time.monotonic(), state.seconds
    for positions, unmasked, masked in batches(run.inputs.sets, run.context, state.images_seen):
        # Step.
        before, done_before = positions.start, progress(params, state.images_seen, state.seconds)
        losses = train_step(state, run.objectives, unmasked, masked, run.context)
        _require_finite(losses, before, run.work)
        set_learning_rates(state, params)
        for optimiser in state.optimisers.values():
            optimiser.step()
        state.images_seen = positions.stop
        run.context.method.after_step(state.networks, params, state.images_seen)
        _move_averages(state, len(positions), run.context)
        state.seconds = seconds_before + group.agreed(time.monotonic() - started)
        state.losses = _running_means(state.losses, losses)
        if _passes(before, state.images_seen, epoch):
            for plateau in state.plateaus.values():
                plateau.step(state.losses[run.context.method.plateau_term])

        # Curves.
        done = progress(params, state.images_seen, state.seconds)
        if int(_CURVE_POINTS * done) > int(_CURVE_POINTS * done_before):
            learning_rate = state.optimisers["generators"].param_groups[0]["lr"]
            state.history.append({"images": state.images_seen, **state.losses, "learning_rate": learning_rate})
            run.curves.add(state.history[-1])

        # Progress.
        if group.is_main:
            line.update(state, done)

        # Checkpoint, and a row of samples; no row on a stop, which has no place in a training that was never stopped.
        stopping = group.any(stop())
        due = done == 1 or _passes(before, state.images_seen, params.save_every_images)
        if due or stopping:
            _save(run, samples=due)
        if stopping and done < 1:
            if group.is_main:
                messages.stopped(f"stopped, state saved at {state.images_seen} images; run again to go on")
            sys.exit(STOPPED)
        if done == 1:
            break


def _move_averages(state: TrainingState, images: int, context: TrainingContext) -> None:
    """Move the averages after a step of `images` images of each domain."""
    half_life = min(MAX_HALF_LIFE, context.method.averaged_share * state.images_seen)
    for name, average in state.averages.items():
        move_average(average, state.networks[name], images, half_life)


def _read_inputs(params: TrainParams, paths: Paths) -> _Inputs:
    """Open the packed images, and decide which weights to start from."""
    info = read_info(paths.pack)
    packed = {domain: _training_set(paths.pack, domain, params) for domain in DOMAINS}
    method = load_method(params.method)
    epochs = method.epoch_indices(packed["unmasked"], packed["masked"], params)
    drawn, masks = method.drawn_inputs(params), None
    if drawn != DrawnInputs():
        lifted = mask_set.read_masks(paths.pack / mask_set.NAME)
        masks = drawn_masks(packed["unmasked"], packed["masked"], lifted, drawn)
    sets = {domain: TrainingSet(domain, packed[domain], epochs[domain], masks) for domain in DOMAINS}
    pack_sha256 = sha256(paths.pack / "pack.json")
    return _Inputs(params, sets, pack_sha256, info.data_licence, _starting_model(paths.start, params))


def _training_set(pack: Path, domain: str, params: TrainParams) -> PackedSet:
    """The training split of a domain. Raises FacemaskError if it is empty, or packed too small for params.image_px."""
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


def _starting_model(start: Path, params: TrainParams) -> StartingModel | None:
    """The model of start.json; None if there is none, or its networks are not those of `params`."""
    try:
        values = json.loads((start / START_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FacemaskError(f"{start / START_NAME} is missing or unreadable: run 'dvc repro start'") from error
    if not values["model"]:
        return None
    model = StartingModel(**values)
    if other := checkpoint.other_schema(start):
        print(f"model {model.model} is of another version of facemask ({other}): starting from new weights", flush=True)
        return None
    if differences := checkpoint.other_networks(checkpoint.read_info(start), params):
        reason = f"is of another architecture ({differences})"
        print(f"model {model.model} {reason}: starting from new weights", flush=True)
        return None
    return model


def _first_state(inputs: _Inputs, context: TrainingContext, work: Path, start: Path) -> TrainingState:
    """The state to begin with: the latest one in `work`, else new, with the weights in `start` if there are any."""
    state = fresh_state(context.method.make_networks(context.params), context.params, context.device)
    if context.method.averaged_share:
        state.averages = {
            name: new_average(state.networks[name]) for name in checkpoint.GENERATORS if name in state.networks
        }
    if latest := latest_state(work):
        checkpoint.load(latest, state, context.params, inputs.pack_sha256)
        _print(f"resuming at {state.images_seen} images", context.group)
    elif inputs.started_from:
        checkpoint.load_networks(start, state)
        _print(f"starting from the weights of model {inputs.started_from.model}", context.group)
    return state


def _save(run: _Run, *, samples: bool) -> None:
    """Save the state as the latest one, with a row of samples if wanted; all processes wait for it."""
    state, inputs = run.state, run.inputs
    draws = run.context.method.drawn_inputs(inputs.params).drawings

    def describe(weights_sha256: dict[str, str]) -> CheckpointInfo:
        return CheckpointInfo(
            schema=checkpoint.SCHEMA,
            images_seen=state.images_seen,
            generator=run.context.method.generator,
            params=values_used(inputs.params),
            pack_sha256=inputs.pack_sha256,
            weights_sha256=weights_sha256,
            masks_sha256=sha256(run.pack / mask_set.NAME) if draws else "",
            losses=state.losses,
            data_licence=inputs.data_licence,
            started_from=inputs.started_from,
            seconds=round(state.seconds, 1) if inputs.params.minutes else 0.0,
        )

    _require_finite(_weight_sums(state), state.images_seen, run.work)
    if run.context.group.is_main:
        if samples:
            write_row(run.work / "strips", state, run.pack, run.context)
        save_latest(run.work, state, describe)
    run.context.group.wait()


def _require_finite(values: Row, images_seen: int, work: Path) -> None:
    """Raise FacemaskError if any value is NaN or infinite."""
    bad = [name for name, value in values.items() if not math.isfinite(value)]
    if bad:
        raise FacemaskError(
            f"training stopped at image {images_seen}: {', '.join(bad)} is not a finite number; "
            f"the last good state is {latest_state(work) or 'none'}: lower train.learning_rate, then run again"
        )


def _weight_sums(state: TrainingState) -> Row:
    """The sum of each network's absolute weights: infinite gradients spoil weights although all losses are finite."""
    return {
        name: float(sum(weight.detach().abs().sum() for weight in network.parameters()))
        for name, network in state.networks.items()
    }


def _running_means(means: Row, losses: Row) -> Row:
    """Exponential running means, which begin with the first losses."""
    return {name: _SMOOTHING * means.get(name, value) + (1 - _SMOOTHING) * value for name, value in losses.items()}


def _passes(before: int, after: int, every: int) -> bool:
    """Whether (before, after] contains a multiple of `every`."""
    return after // every > before // every


def _print(line: str, group: ProcessGroup) -> None:
    """Print a line, once for all processes."""
    if group.is_main:
        print(line, flush=True)


def _lock(work: Path, group: ProcessGroup) -> AbstractContextManager[None]:
    """Lock the work folder. Raises FacemaskError if another training has locked it."""
    refusal = f"another process is training in {work}: wait for it, or end it"
    return locked(work / "lock", refusal) if group.is_main else nullcontext()
