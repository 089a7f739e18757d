"""The speed of a training step against a direct implementation of the paper's step, in the same run.

    python -m benchmarks.train [--batch N] [--image-px N]
    python -m benchmarks.train --losses

The baseline: float32, eager, one forward pass for each term, Adam without fusing, no joined batches; the same networks
and batch. A GPU is timed by its events. Then the input: batches from the memory-mapped pack against decoding and
resizing 1024 px JPEGs for each sample. --losses trains 200 steps in bfloat16, compiled, and in float32 with three
seeds: are the losses of the faster step within the spread of the seeds? Prints JSON last.
"""

import argparse
import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from models.methods import cyclegan
from models.methods.method import Batch
from models.params import CycleganParams, FastganParams, GuidedParams, Pix2pixParams, SimganParams, TrainParams
from models.training.checkpoint import DISCRIMINATORS, GENERATORS
from models.training.data import TrainingSet, load_px, to_faces, training_batch
from models.training.device import TrainingDevice, training_device
from models.training.distributed import ProcessGroup
from models.training.optimisers import fresh_state
from models.training.step import TrainingContext, make_objectives, train_step
from models.training.tracking import Row
from pipeline.faces.landmarks import LANDMARKS
from pipeline.storage import packed_arrays as packed

ROUNDS = 5
STEPS, SEEDS = 200, (1, 2, 3)


def paper_params(
    image_px: int,
    batch: int,
    precision: Literal["auto", "float32", "bfloat16"] = "auto",
    compiled: Literal["auto"] | bool = "auto",
) -> TrainParams:
    """The paper's networks and settings: 6 blocks at 128 px, 9 at 256 px."""
    return TrainParams(
        preset="none", method="cyclegan", loss="lsgan", image_px=image_px, images_per_domain=10_000_000, minutes=None,
        batch_size=batch, width=64, blocks=9 if image_px >= 256 else 6, discriminator_width=64,
        learning_rate=2e-4, schedule="linear",
        lambda_cycle=10, lambda_identity=0.5, pool_size=50, save_every_images=1_000_000, seed=1,
        precision=precision, compile=compiled, deterministic=False,
        guided=GuidedParams(lambda_drawing=0), cyclegan=CycleganParams(),
        simgan=SimganParams(lambda_drawing=1, refiner_images=0, discriminator_images=0),
        pix2pix=Pix2pixParams(pairs="both", lambda_l1=100, lambda_matte=0),
        fastgan=FastganParams(lambda_matte=1, lambda_reconstruction=1, average_images=5000),
    )  # fmt: skip


class PaperStep:
    """The step as the paper describes it, one line for each term. x, y, G, F, D_X, D_Y are the paper's letters."""

    def __init__(self, params: TrainParams, device: torch.device) -> None:
        self.params = params
        self.networks = {name: network.to(device) for name, network in cyclegan.make_networks(params).items()}
        self.optimisers = [
            torch.optim.Adam(
                itertools.chain(*(self.networks[name].parameters() for name in names)),
                lr=params.learning_rate, betas=(0.5, 0.999), foreach=False,
            )
            for names in (GENERATORS, DISCRIMINATORS)
        ]  # fmt: skip
        self.shown: dict[str, list[torch.Tensor]] = {"masked": [], "unmasked": []}

    def __call__(self, x: Batch, y: Batch) -> float:
        params = self.params
        conditioning = x.faces.conditioning  # which these generators ignore
        g, f = (lambda image, name=name: self.networks[name](image, conditioning)[0] for name in GENERATORS)
        d_y, d_x = (self.networks[name] for name in DISCRIMINATORS)
        one = functional.mse_loss
        for_generators, for_discriminators = self.optimisers

        for_generators.zero_grad()
        for discriminator in (d_y, d_x):
            discriminator.requires_grad_(False)
        fake_y, fake_x = g(x.faces.images), f(y.faces.images)
        back_x, back_y = f(fake_y), g(fake_x)
        same_y, same_x = g(y.faces.images), f(x.faces.images)
        score_y, score_x = d_y(fake_y), d_x(fake_x)
        gan = one(score_y, torch.ones_like(score_y)) + one(score_x, torch.ones_like(score_x))
        cycle = functional.l1_loss(back_x, x.faces.images) + functional.l1_loss(back_y, y.faces.images)
        identity = functional.l1_loss(same_y, y.faces.images) + functional.l1_loss(same_x, x.faces.images)
        total = gan + params.lambda_cycle * (cycle + params.lambda_identity * identity)
        total.backward()
        for_generators.step()

        for_discriminators.zero_grad()
        for discriminator, real, fake, name in (
            (d_y, y.faces.images, fake_y, "masked"),
            (d_x, x.faces.images, fake_x, "unmasked"),
        ):
            discriminator.requires_grad_(True)
            score, fake_score = discriminator(real), discriminator(self._from_pool(name, fake.detach()))
            loss = (one(score, torch.ones_like(score)) + one(fake_score, torch.zeros_like(fake_score))) / 2
            loss.backward()
        for_discriminators.step()
        return float(cycle.detach())

    def _from_pool(self, name: str, fakes: torch.Tensor) -> torch.Tensor:
        pool, shown = self.shown[name], []
        for fake in fakes:
            if len(pool) < self.params.pool_size:
                pool.append(fake)
                shown.append(fake)
            elif torch.rand(()) < 0.5:
                place = int(torch.randint(len(pool), ()))
                shown.append(pool[place])
                pool[place] = fake
            else:
                shown.append(fake)
        return torch.stack(shown)


class OurStep:
    """The step of models.training, with the optimisers' steps."""

    def __init__(self, params: TrainParams, device: TrainingDevice) -> None:
        self.context = TrainingContext(params, cyclegan.METHOD, device, ProcessGroup())
        self.state = fresh_state(cyclegan.make_networks(params), params, device)
        self.objectives = make_objectives(self.state, self.context)

    def __call__(self, x: Batch, y: Batch) -> float:
        return self.losses(x, y)["cycle"]

    def losses(self, x: Batch, y: Batch) -> Row:
        """All losses of one step."""
        losses = train_step(self.state, self.objectives, x, y, self.context)
        for optimiser in self.state.optimisers.values():
            optimiser.step()
        self.state.images_seen += len(x.faces.images)
        return losses


def some_faces(folder: Path, count: int, px: int) -> Path:
    """Write random, smooth JPEGs of 1024 px, and a pack of them at `px`."""
    rng = np.random.default_rng(0)
    (folder / "jpg").mkdir(parents=True)
    small = []
    for number in range(count):
        coarse = rng.integers(0, 256, (32, 32, 3), np.uint8)
        picture = cv2.resize(coarse, (1024, 1024), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / f"jpg/{number:04d}.jpg"), picture, [cv2.IMWRITE_JPEG_QUALITY, 95])
        small.append(cv2.resize(picture, (px, px), interpolation=cv2.INTER_AREA))
    return write_pack(folder, np.stack(small))


def write_pack(folder: Path, pictures: NDArray[np.uint8]) -> Path:
    """Write a pack whose training sets both are `pictures` (N, px, px, 3), without landmarks; the others are empty."""
    px = pictures.shape[1]
    counts = {}
    for domain, split in itertools.product(packed.DOMAINS, packed.SPLITS):
        name = packed.set_name(domain, split)
        images, landmarks, faces_path = packed.array_paths(folder, name)
        counts[name] = kept = len(pictures) if split == "train" else 0
        np.save(images, pictures[:kept])
        np.save(landmarks, np.full((kept, LANDMARKS, 2), np.nan, np.float32))
        if domain == "masked":
            np.save(packed.areas_path(folder, name), np.zeros((kept, px, -(-px // 8)), np.uint8))
        packed.write_faces(faces_path, [f"{name}/{place}" for place in range(kept)], [None] * kept, [0.0] * kept)
    packed.write_info(folder, packed.PackInfo(packed.SCHEMA, px, "0" * 64, counts, "generated"))
    return folder


def batch_of(
    faces: packed.PackedSet, domain: str, seed: int, positions: range, image_px: int, device: torch.device
) -> Batch:
    """A batch of one domain, on the device."""
    data = TrainingSet(domain, faces, np.arange(len(faces)))
    return Batch(to_faces(training_batch(data, seed, positions, image_px).to(device)), positions)


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """The time that `work` takes, s: by the events of a GPU, else by the clock."""
    if device.type == "cuda":
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        work()
        end.record()
        torch.cuda.synchronize()
        return float(begin.elapsed_time(end)) / 1000
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def speed(faces: Path, image_px: int, batch: int) -> dict[str, object]:
    """The time of each step, measured in turns so that all see the same load; and the ratios to the baseline."""
    params = paper_params(image_px, batch)
    device = training_device(params)
    x, y = (
        batch_of(packed.read_set(faces, domain, "train"), domain, 1, range(batch), image_px, device.device)
        for domain in packed.DOMAINS
    )
    baseline = PaperStep(params, device.device)
    variants = {"ours": device}
    if device.compile:
        variants["ours_eager"] = replace(device, compile=False)
    steps: dict[str, Callable[[Batch, Batch], float]] = {"baseline": baseline}
    results: dict[str, object] = {"machine": device.description, "image_px": image_px, "batch": batch}
    for name, how in variants.items():
        started = time.perf_counter()
        steps[name] = OurStep(params, how)
        steps[name](x, y)
        results[f"{name}_first_step_s"] = round(time.perf_counter() - started, 1)
    for step in steps.values():
        step(x, y)
    took: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(ROUNDS):
        for name, step in steps.items():
            took[name].append(seconds(lambda step=step: step(x, y), device.device))  # type: ignore[misc]
    median = {name: statistics.median(values) for name, values in took.items()}
    results |= {f"{name}_ms_per_image": round(1000 * value / batch, 1) for name, value in median.items()}
    results |= {f"{name}_against_baseline": round(median["baseline"] / median[name], 2) for name in variants}
    return results


def feeding(faces: Path, image_px: int, batch: int) -> dict[str, object]:
    """Images a second in one process: crops of the memory-mapped pack, and decoding and resizing the photos."""
    pack = packed.read_set(faces, "masked", "train")
    photos = sorted((faces / "jpg").glob("*.jpg"))
    load_px = pack.images.shape[1]

    def decode() -> None:
        for path in itertools.islice(itertools.cycle(photos), batch):
            picture = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
            small = cv2.resize(picture, (load_px, load_px), interpolation=cv2.INTER_CUBIC)[:image_px, :image_px]
            torch.from_numpy(small.copy()).permute(2, 0, 1).float().div(127.5).sub(1)

    def mapped() -> None:
        training_batch(TrainingSet("masked", pack, np.arange(len(pack))), 1, range(batch), image_px)

    cpu = torch.device("cpu")
    took = {
        name: statistics.median(seconds(work, cpu) for _ in range(9))
        for name, work in (("decode", decode), ("pack", mapped))
    }
    return {
        "pack_images_per_s": round(batch / took["pack"]),
        "decode_images_per_s": round(batch / took["decode"]),
        "against_decoding": round(took["decode"] / took["pack"], 1),
    }


def losses(faces: Path) -> dict[str, object]:
    """The mean of each loss over the last quarter of the steps, for smaller networks at 64 px."""

    def reached(seed: int, precision: Literal["float32", "bfloat16"], compiled: bool) -> dict[str, float]:
        params = replace(paper_params(64, 4, precision, compiled), width=32, discriminator_width=32, seed=seed)
        device = training_device(params)
        step = OurStep(params, device)
        rows = []
        for number in range(STEPS):
            positions = range(4 * number, 4 * number + 4)
            x, y = (
                batch_of(packed.read_set(faces, domain, "train"), domain, seed, positions, 64, device.device)
                for domain in packed.DOMAINS
            )
            rows.append(step.losses(x, y))
        late = rows[-STEPS // 4 :]
        return {name: statistics.mean(row[name] for row in late) for name in late[0]}

    seeds = [reached(seed, "float32", False) for seed in SEEDS]
    fast = reached(SEEDS[0], "bfloat16", True)
    results: dict[str, object] = {}
    for name, value in fast.items():
        of_seeds = [row[name] for row in seeds]
        results[name] = {
            "bfloat16_compiled": round(value, 4),
            "float32": [round(one, 4) for one in of_seeds],
            "within_their_spread": min(of_seeds) <= value <= max(of_seeds)
            or abs(value - of_seeds[0]) <= max(of_seeds) - min(of_seeds),
        }
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description="Time a training step against the paper's, and the input of images.")
    parser.add_argument("--image-px", type=int, default=128)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--losses", action="store_true", help="compare the losses after 200 steps instead")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        if options.losses:
            print(json.dumps({"losses": losses(some_faces(Path(scratch) / "faces", 64, load_px(64, 1024)))}))
            return
        faces = some_faces(Path(scratch) / "faces", 16, load_px(options.image_px, 1024))
        found = {
            "step": speed(faces, options.image_px, options.batch),
            "feeding": feeding(faces, options.image_px, max(options.batch, 16)),
        }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
