"""The training step on a GPU, against the paper's step in float32, in one run: `python -m benchmarks.gpu [--smoke]`.

Variants of the same step in turns: the paper's step with TF32 off and on, and ours in bfloat16, eager and compiled;
then the guided method's step, compiled. GPU time by events. Needs torch, numpy, pydantic and PyYAML only: no data, no
network. --smoke runs it tiny, on whatever device there is. Prints JSON last.
"""

import argparse
import json
import statistics
from collections.abc import Callable
from dataclasses import replace

import torch

from benchmarks.train import OurStep, PaperStep, paper_params, seconds
from models.methods import guided
from models.methods.method import Batch, Faces
from models.params import GuidedParams, TrainParams
from models.training.device import TrainingDevice, training_device
from models.training.distributed import ProcessGroup
from models.training.optimisers import fresh_state
from models.training.step import TrainingContext, make_objectives, train_step


def random_batch(domain: str, params: TrainParams, device: torch.device) -> Batch:
    """Random faces (batch_size, 3, H, W), with the lower half as their lower-face region."""
    size, count = params.image_px, params.batch_size
    generator = torch.Generator().manual_seed(len(domain))
    conditioning = torch.zeros(count, 2, size, size)
    conditioning[:, 0, size // 2 : size * 7 // 8, size // 4 : size * 3 // 4] = 1
    images = torch.rand(count, 3, size, size, generator=generator) * 2 - 1
    return Batch(Faces(images.to(device), conditioning.to(device)), range(count))


def guided_step(params: TrainParams, device: TrainingDevice) -> Callable[[Batch, Batch], object]:
    """A step of the guided method, optimisers included."""
    context = TrainingContext(params, guided.METHOD, device, ProcessGroup())
    state = fresh_state(guided.make_networks(params), params, device)
    objectives = make_objectives(state, context)

    def step(x: Batch, y: Batch) -> object:
        losses = train_step(state, objectives, x, y, context)
        for optimiser in state.optimisers.values():
            optimiser.step()
        state.images_seen += len(x.faces.images)
        return losses

    return step


def set_tf32(on: bool) -> None:
    """Let float32 matrix products and convolutions use TF32, or not."""
    torch.backends.cuda.matmul.allow_tf32 = on
    torch.backends.cudnn.allow_tf32 = on


def timed(
    name: str, step: Callable[[Batch, Batch], object], faces: tuple[Batch, Batch], rounds: int
) -> dict[str, object]:
    """Median ms an image, images/s, peak memory, and the first step's time."""
    device = faces[0].faces.images.device
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    first = seconds(lambda: step(*faces), device)
    for _ in range(3):
        step(*faces)
    median = statistics.median(seconds(lambda: step(*faces), device) for _ in range(rounds))
    count = len(faces[0].positions)
    result: dict[str, object] = {
        "first_step_s": round(first, 1),
        "ms_per_image": round(1000 * median / count, 2),
        "images_per_s": round(count / median, 1),
    }
    if device.type == "cuda":
        result["peak_gb"] = round(torch.cuda.max_memory_allocated() / 1e9, 1)
    print(name, json.dumps(result), flush=True)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the training step on a GPU.")
    parser.add_argument("--smoke", action="store_true", help="tiny, on any device: only to see that it runs")
    smoke = parser.parse_args().smoke
    px, batch, rounds = (32, 2, 1) if smoke else (256, 16, 10)
    params = paper_params(px, batch, "auto", False if smoke else "auto")
    if smoke:
        params = replace(params, width=8, blocks=1, discriminator_width=8)
    device = training_device(params)
    faces = random_batch("unmasked", params, device.device), random_batch("masked", params, device.device)
    found: dict[str, dict[str, object]] = {}
    for name, tf32 in (("paper_float32", False), ("paper_tf32", True)):
        set_tf32(tf32)
        found[name] = timed(name, PaperStep(params, device.device), faces, rounds)
    found["ours_eager"] = timed("ours_eager", OurStep(params, replace(device, compile=False)), faces, rounds)
    found["ours"] = timed("ours", OurStep(params, device), faces, rounds)
    guided_params = replace(params, method="guided", guided=GuidedParams(lambda_matte=3.0))
    found["guided"] = timed("guided", guided_step(guided_params, device), faces, rounds)
    rates = {name: float(str(result["images_per_s"])) for name, result in found.items()}
    ratios = {f"{name}_against_paper_float32": round(rate / rates["paper_float32"], 2) for name, rate in rates.items()}
    print(json.dumps({"device": device.description, "image_px": px, "batch": batch, **found, "ratios": ratios}))


if __name__ == "__main__":
    main()
