"""Parts of benchmarks.gpu: the speed of the training step on random faces that are on the device already.

Variants: the paper's step with TF32 off and on; ours in bfloat16, eager and compiled; the guided method's, likewise.
The optimisers' steps are included. GPU time by events. The share of the peak is that of the floating point operations
which torch counts in the step (matrix products and convolutions) over those of a large bfloat16 matrix product.
"""

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.train import OurStep, PaperStep, seconds
from models.drawings import put_on
from models.methods import guided
from models.methods.method import Batch, Faces
from models.params import GuidedParams, TrainParams
from models.training.device import TrainingDevice
from models.training.distributed import ProcessGroup
from models.training.optimisers import fresh_state
from models.training.step import TrainingContext, make_objectives, train_step

Step = Callable[[Batch, Batch], object]
"""(unmasked, masked): one step of training."""

_NAME = 100  # characters of a kernel's name


@dataclass(frozen=True)
class Bench:
    """What the parts share."""

    params: TrainParams
    device: TrainingDevice
    rounds: int  # timings, of which the median counts
    scratch: Path  # an empty folder
    smoke: bool
    pack: Path | None = None  # packed faces, else random pictures
    minutes: float = 5.0  # of part training
    out: Path | None = None  # where its checkpoint is kept
    found: dict[str, object] = field(default_factory=dict)  # results of earlier parts

    @property
    def eager(self) -> TrainingDevice:
        """The device, without compiling."""
        return replace(self.device, compile=False)


def random_batch(domain: str, params: TrainParams, device: torch.device) -> Batch:
    """Random faces (batch_size, 3, H, W), with the lower half as lower-face region, drawn masks and bare faces."""
    size, count = params.image_px, params.batch_size
    generator = torch.Generator().manual_seed(len(domain))
    conditioning, drawing = torch.zeros(count, 2, size, size), torch.zeros(count, 5, size, size)
    lower = (slice(size // 2, size * 7 // 8), slice(size // 4, size * 3 // 4))
    conditioning[:, 0, *lower] = 1
    drawing[:, :4, *lower] = torch.tensor([0.3, 0.5, 0.6, 1.0])[:, None, None]
    images = torch.rand(count, 3, size, size, generator=generator) * 2 - 1
    faces = [images, conditioning]
    if params.method == "guided":
        bare = torch.cat([torch.where(drawing[:, 3:4] > 0, 0.5, (images + 1) / 2), drawing[:, 3:4]], dim=1)
        faces += [drawing, put_on(images, drawing.flip(3)), bare]
    return Batch(Faces(*(part.to(device) for part in faces)), range(count))


def random_batches(params: TrainParams, device: torch.device) -> tuple[Batch, Batch]:
    """Random faces of both domains: unmasked, masked."""
    return random_batch("unmasked", params, device), random_batch("masked", params, device)


def guided_params(params: TrainParams) -> TrainParams:
    """`params` for the guided method."""
    return replace(params, method="guided", guided=GuidedParams(lambda_drawing=200.0))


def guided_context(params: TrainParams, device: TrainingDevice) -> TrainingContext:
    """What stays the same during a training of the guided method."""
    return TrainingContext(params, guided.METHOD, device, ProcessGroup())


def guided_step(params: TrainParams, device: TrainingDevice) -> Step:
    """A step of the guided method, optimisers included."""
    context = guided_context(params, device)
    state = fresh_state(guided.METHOD.make_networks(params), params, device)
    objectives = make_objectives(state, context)

    def step(unmasked: Batch, masked: Batch) -> object:
        losses = train_step(state, objectives, unmasked, masked, context)
        for optimiser in state.optimisers.values():
            optimiser.step()
        state.images_seen += len(unmasked.faces.images)
        return losses

    return step


def timed(step: Step, params: TrainParams, bench: Bench) -> dict[str, object]:
    """Median ms an image, images/s of one domain, peak memory, and the first step's time."""
    device = bench.device.device
    faces = random_batches(params, device)
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    first = seconds(lambda: step(*faces), device)
    for _ in range(min(3, bench.rounds)):
        step(*faces)
    median = statistics.median(seconds(lambda: step(*faces), device) for _ in range(bench.rounds))
    result: dict[str, object] = {
        "first_step_s": round(first, 1),
        "ms_per_image": round(1000 * median / params.batch_size, 2),
        "images_per_s": round(params.batch_size / median, 1),
    }
    if device.type == "cuda":
        result["peak_gb"] = round(torch.cuda.max_memory_allocated() / 1e9, 1)
    return result


def peak(bench: Bench) -> dict[str, float]:
    """TFLOP/s of a bfloat16 matrix product, 8192 x 8192 by 8192 x 8192."""
    side, device = (256 if bench.smoke else 8192), bench.device.device
    left, right = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    products = 1 if bench.smoke else 10

    def work() -> None:
        for _ in range(products):
            left @ right

    work()
    took = statistics.median(seconds(work, device) for _ in range(max(3, bench.rounds))) / products
    return {"bfloat16_tflop_per_s": round(2 * side**3 / took / 1e12, 3)}


def tflop_per_image(step: Step, params: TrainParams, device: TrainingDevice) -> float:
    """The TFLOP of one step, forward and backward, for each image of one domain; a product and a sum count as two."""
    faces = random_batches(params, device.device)
    with FlopCounterMode(display=False) as counter:
        step(*faces)
    return float(counter.get_total_flops()) / params.batch_size / 1e12


def paper_float32(bench: Bench) -> dict[str, object]:
    """The paper's step with TF32 off."""
    _set_tf32(False)
    return timed(PaperStep(bench.params, bench.device.device), bench.params, bench)


def paper_tf32(bench: Bench) -> dict[str, object]:
    """The paper's step with TF32 on."""
    _set_tf32(True)
    return timed(PaperStep(bench.params, bench.device.device), bench.params, bench)


def ours_eager(bench: Bench) -> dict[str, object]:
    """Our step, eager, and its TFLOP."""
    step = OurStep(bench.params, bench.eager)
    counted = tflop_per_image(step, bench.params, bench.device)
    return timed(step, bench.params, bench) | {"tflop_per_image": round(counted, 6)}


def ours(bench: Bench) -> dict[str, object]:
    """Our step as training runs it: compiled, on a GPU; and its profile."""
    step = OurStep(bench.params, bench.device)
    return timed(step, bench.params, bench) | {"profile": profiled(step, bench.params, bench)}


def guided_eager(bench: Bench) -> dict[str, object]:
    """The guided method's step, eager, and its TFLOP."""
    params = guided_params(bench.params)
    step = guided_step(params, bench.eager)
    counted = tflop_per_image(step, params, bench.device)
    return timed(step, params, bench) | {"tflop_per_image": round(counted, 6)}


def guided_compiled(bench: Bench) -> dict[str, object]:
    """The guided method's step as training runs it: compiled, on a GPU; and its profile."""
    params = guided_params(bench.params)
    step = guided_step(params, bench.device)
    return timed(step, params, bench) | {"profile": profiled(step, params, bench)}


def profile(bench: Bench) -> dict[str, object]:
    """Where the time of the eager steps goes."""
    params = guided_params(bench.params)
    return {
        "ours_eager": profiled(OurStep(bench.params, bench.eager), bench.params, bench),
        "guided_eager": profiled(guided_step(params, bench.eager), params, bench),
    }


def profiled(step: Step, params: TrainParams, bench: Bench) -> dict[str, object]:
    """Shares of a step's device time: the ten dearest kernels, the ten dearest operators; and the idle share.

    The idle share is that of the wall time in which the device runs no kernel: what CUDA graphs could save at most. On
    the CPU there are operators only.
    """
    device, steps = bench.device.device, 1 if bench.smoke else 2
    gpu = device.type == "cuda"
    faces = random_batches(params, device)
    step(*faces)
    took = seconds(lambda: step(*faces), device)  # without the profiler, which slows down launching
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if gpu else [])
    with torch.profiler.profile(activities=activities) as profiler:
        for _ in range(steps):
            step(*faces)
        if gpu:
            torch.cuda.synchronize()
    kernels: dict[str, float] = {}
    operators: dict[str, float] = {}
    for event in profiler.key_averages():
        micros = event.self_device_time_total if gpu else event.self_cpu_time_total
        target = kernels if event.device_type.name == "CUDA" else operators
        target[event.key[:_NAME]] = target.get(event.key[:_NAME], 0.0) + micros / steps
    result: dict[str, object] = {"step_ms": round(1000 * took, 2)}
    if gpu:
        busy = sum(kernels.values())
        result |= {"kernels_ms": round(busy / 1000, 2), "idle_share": round(1 - busy / 1e6 / took, 3)}
        result["kernels"] = _dearest(kernels)
    return result | {"operators": _dearest(operators)}


def _dearest(micros: dict[str, float]) -> dict[str, float]:
    """The ten dearest names with their shares of the whole, the dearest first."""
    total = sum(micros.values()) or 1.0
    return {name: round(micros[name] / total, 4) for name in sorted(micros, key=micros.__getitem__, reverse=True)[:10]}


def comparisons(found: dict[str, object]) -> dict[str, object]:
    """Of the parts found so far: speeds against the paper's step in float32, and shares of the peak."""
    variants = {name: value for name, value in found.items() if isinstance(value, dict) and "images_per_s" in value}
    result: dict[str, object] = {}
    if "paper_float32" in variants:
        base = variants["paper_float32"]["images_per_s"]
        result["against_paper_float32"] = {
            name: round(value["images_per_s"] / base, 2) for name, value in variants.items()
        }
    top = found.get("peak")
    if isinstance(top, dict):
        counted = partial(_counted, variants)
        result["share_of_bfloat16_peak"] = {
            name: round(counted(name) * value["images_per_s"] / top["bfloat16_tflop_per_s"], 3)
            for name, value in variants.items()
            if counted(name)
        }
    return result


def _counted(variants: dict[str, dict[str, float]], name: str) -> float:
    """The TFLOP an image of a variant: those of the eager step of its method; 0 where that did not run.

    The paper's step, without joined passes, has the same products.
    """
    eager = "guided_eager" if name.startswith("guided") else "ours_eager"
    return variants[eager]["tflop_per_image"] if eager in variants else 0.0


def _set_tf32(on: bool) -> None:
    """Let float32 matrix products and convolutions use TF32, or not."""
    torch.backends.cuda.matmul.allow_tf32 = on
    torch.backends.cudnn.allow_tf32 = on
