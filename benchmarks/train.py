"""How fast a training step is, in one run against the step as the paper's pseudo-code reads.

    python -m benchmarks.train [--batch N] [--image-px N]
    python -m benchmarks.train --losses

The floor: float32, eager, one forward pass for each term, plain Adam, no joined batches; the same networks and batch.
On a GPU times are the device's own events. Then feeding: batches from the memory-mapped pack against decoding and
resizing 1024 px JPEGs for each sample. --losses trains 200 steps in bfloat16, compiled, and in float32 by three seeds:
whether what the faster step reaches lies within what seeds alone make of it. Prints JSON last.
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
from torch.nn import functional

from models.params import TrainParams
from models.training.checkpoint import DISCRIMINATORS, GENERATORS, make_networks
from models.training.data import load_px, training_batch
from models.training.device import TrainingDevice, training_device
from models.training.distributed import ProcessGroup
from models.training.loop import fresh_state
from models.training.step import Batch, make_objectives, train_step
from models.training.tracking import Row
from pipeline.storage import packed_arrays as packed

ROUNDS = 5
STEPS, SEEDS = 200, (1, 2, 3)


def resnet(
    image_px: int,
    batch: int,
    precision: Literal["auto", "float32", "bfloat16"] = "auto",
    compiled: Literal["auto"] | bool = "auto",
) -> TrainParams:
    """The paper's networks and settings: 6 blocks at 128 px, 9 at 256 px."""
    return TrainParams(
        preset="none", generator="resnet", loss="lsgan", image_px=image_px, images=10_000_000, batch_size=batch,
        width=64, blocks=9 if image_px >= 256 else 6, discriminator_width=64, learning_rate=2e-4, schedule="linear",
        lambda_cycle=10, lambda_identity=0.5, lambda_matte=0, pool_size=50, save_every_images=1_000_000, seed=1,
        precision=precision, compile=compiled,
    )  # fmt: skip


class PaperStep:
    """The step as the paper writes it, one line a term."""

    def __init__(self, params: TrainParams, device: torch.device) -> None:
        self.params = params
        self.networks = {name: network.to(device) for name, network in make_networks(params).items()}
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
        g, f = (lambda image, name=name: self.networks[name](image, x.guides)[0] for name in GENERATORS)
        d_y, d_x = (self.networks[name] for name in DISCRIMINATORS)
        one = functional.mse_loss
        for_generators, for_discriminators = self.optimisers

        for_generators.zero_grad()
        for judge in (d_y, d_x):
            judge.requires_grad_(False)
        fake_y, fake_x = g(x.images), f(y.images)
        back_x, back_y = f(fake_y), g(fake_x)
        same_y, same_x = g(y.images), f(x.images)
        score_y, score_x = d_y(fake_y), d_x(fake_x)
        gan = one(score_y, torch.ones_like(score_y)) + one(score_x, torch.ones_like(score_x))
        cycle = functional.l1_loss(back_x, x.images) + functional.l1_loss(back_y, y.images)
        identity = functional.l1_loss(same_y, y.images) + functional.l1_loss(same_x, x.images)
        total = gan + params.lambda_cycle * (cycle + params.lambda_identity * identity)
        total.backward()
        for_generators.step()

        for_discriminators.zero_grad()
        for judge, real, fake, name in ((d_y, y.images, fake_y, "masked"), (d_x, x.images, fake_x, "unmasked")):
            judge.requires_grad_(True)
            score, fake_score = judge(real), judge(self._from_pool(name, fake.detach()))
            loss = (one(score, torch.ones_like(score)) + one(fake_score, torch.zeros_like(fake_score))) / 2
            loss.backward()
        for_discriminators.step()
        return float(cycle.detach())

    def _from_pool(self, name: str, fakes: torch.Tensor) -> torch.Tensor:
        pool, given = self.shown[name], []
        for fake in fakes:
            if len(pool) < self.params.pool_size:
                pool.append(fake)
                given.append(fake)
            elif torch.rand(()) < 0.5:
                place = int(torch.randint(len(pool), ()))
                given.append(pool[place])
                pool[place] = fake
            else:
                given.append(fake)
        return torch.stack(given)


class OurStep:
    def __init__(self, params: TrainParams, machine: TrainingDevice) -> None:
        self.params, self.machine = params, machine
        self.state = fresh_state(params, machine)
        self.objectives = make_objectives(self.state, params, machine, ProcessGroup())

    def __call__(self, x: Batch, y: Batch) -> float:
        return self.losses(x, y)["cycle"]

    def losses(self, x: Batch, y: Batch) -> Row:
        losses = train_step(self.state, self.objectives, x, y, self.params, self.machine, ProcessGroup())
        for optimiser in self.state.optimisers.values():
            optimiser.step()
        self.state.images_seen += len(x.images)
        return losses


def some_faces(folder: Path, count: int, px: int) -> Path:
    """JPEGs of 1024 px with the frequencies of pictures, and a pack of them at `px`."""
    rng = np.random.default_rng(0)
    (folder / "jpg").mkdir(parents=True)
    small = []
    for number in range(count):
        coarse = rng.integers(0, 256, (32, 32, 3), np.uint8)
        picture = cv2.resize(coarse, (1024, 1024), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / f"jpg/{number:04d}.jpg"), picture, [cv2.IMWRITE_JPEG_QUALITY, 95])
        small.append(cv2.resize(picture, (px, px), interpolation=cv2.INTER_AREA))
    counts = {}
    for domain, split in itertools.product(packed.DOMAINS, packed.SPLITS):
        name = packed.set_name(domain, split)
        images, guides, whose = packed.array_paths(folder, name)
        counts[name] = kept = count if split == "train" else 0
        np.save(images, np.stack(small)[:kept])
        np.save(guides, np.zeros((kept, px, px, 2), np.uint8))
        packed.write_faces(whose, [f"{name}/{place}" for place in range(kept)], [0.0] * kept)
    packed.write_info(folder, packed.PackInfo(packed.SCHEMA, px, "0" * 64, counts, "generated"))
    return folder


def batch_of(
    faces: packed.PackedSet, domain: str, seed: int, positions: range, image_px: int, device: torch.device
) -> Batch:
    images, guides = training_batch(faces, np.arange(len(faces)), domain, seed, positions, image_px)
    return Batch(images.to(device), guides.to(device), positions)


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """By the device's own events where it has them."""
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
    """Seconds a step of each, taken in turns so that both see the same machine."""
    params = resnet(image_px, batch)
    machine = training_device(params)
    x, y = (
        batch_of(packed.read_set(faces, domain, "train"), domain, 1, range(batch), image_px, machine.device)
        for domain in packed.DOMAINS
    )
    floor = PaperStep(params, machine.device)
    variants = {"ours": machine}
    if machine.compile:
        variants["ours_eager"] = replace(machine, compile=False)
    steps: dict[str, Callable[[Batch, Batch], float]] = {"floor": floor}
    told: dict[str, object] = {"machine": machine.why, "image_px": image_px, "batch": batch}
    for name, how in variants.items():
        started = time.perf_counter()
        steps[name] = OurStep(params, how)
        steps[name](x, y)
        told[f"{name}_first_step_s"] = round(time.perf_counter() - started, 1)
    for step in steps.values():
        step(x, y)
    took: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(ROUNDS):
        for name, step in steps.items():
            took[name].append(seconds(lambda step=step: step(x, y), machine.device))  # type: ignore[misc]
    median = {name: statistics.median(values) for name, values in took.items()}
    told |= {f"{name}_ms_per_image": round(1000 * value / batch, 1) for name, value in median.items()}
    told |= {f"{name}_against_floor": round(median["floor"] / median[name], 2) for name in variants}
    return told


def feeding(faces: Path, image_px: int, batch: int) -> dict[str, object]:
    """One process each: crops of the memory-mapped pack, against decoding and resizing the photos themselves."""
    pack = packed.read_set(faces, "masked", "train")
    photos = sorted((faces / "jpg").glob("*.jpg"))
    load_px = pack.images.shape[1]

    def decode() -> None:
        for path in itertools.islice(itertools.cycle(photos), batch):
            picture = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
            small = cv2.resize(picture, (load_px, load_px), interpolation=cv2.INTER_CUBIC)[:image_px, :image_px]
            torch.from_numpy(small.copy()).permute(2, 0, 1).float().div(127.5).sub(1)

    def mapped() -> None:
        training_batch(pack, np.arange(len(pack)), "masked", 1, range(batch), image_px)

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
    """Each loss as a mean over the last quarter of the steps, of smaller networks at 64 px."""

    def reached(seed: int, precision: Literal["float32", "bfloat16"], compiled: bool) -> dict[str, float]:
        params = replace(resnet(64, 4, precision, compiled), width=32, discriminator_width=32, seed=seed)
        machine = training_device(params)
        step = OurStep(params, machine)
        rows = []
        for number in range(STEPS):
            positions = range(4 * number, 4 * number + 4)
            x, y = (
                batch_of(packed.read_set(faces, domain, "train"), domain, seed, positions, 64, machine.device)
                for domain in packed.DOMAINS
            )
            rows.append(step.losses(x, y))
        late = rows[-STEPS // 4 :]
        return {name: statistics.mean(row[name] for row in late) for name in late[0]}

    seeds = [reached(seed, "float32", False) for seed in SEEDS]
    fast = reached(SEEDS[0], "bfloat16", True)
    told = {}
    for name, value in fast.items():
        of_seeds = [row[name] for row in seeds]
        told[name] = {
            "bfloat16_compiled": round(value, 4),
            "float32": [round(one, 4) for one in of_seeds],
            "within_their_spread": min(of_seeds) <= value <= max(of_seeds)
            or abs(value - of_seeds[0]) <= max(of_seeds) - min(of_seeds),
        }
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description="Time a training step against the paper's, and how images are fed.")
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
