"""Teach the segmenter on generated placements, and export it for `pipeline.faces.mask_coverage`:

    python -m models.segmenter.train FACES_FOLDER... --out pipeline/faces/mask_coverage.onnx

The folders hold faces without masks. The same folders, seed and numbers give the same weights.
"""

import argparse
import copy
import os
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from models.segmenter.augment import batch_of
from models.segmenter.network import Segmenter
from pipeline.faces import mask_coverage as cover
from pipeline.faces.mask_coverage import CHIN_COLUMNS, CHIN_ROWS, SIDE
from pipeline.synthetic.mask_examples import PLANES, generate

Arrays = tuple[NDArray[np.uint8], NDArray[np.uint8]]

_BATCH = 32
_RATE = 3e-3
_CHUNK = 500  # examples made by one call of a worker


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folders", nargs="+", type=Path, metavar="FACES_FOLDER")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--examples", type=int, default=12_000)
    parser.add_argument("--steps", type=int, default=5_000, help=f"batches of {_BATCH}")
    args = parser.parse_args()
    crops, truth = make_examples(args.folders, args.examples, args.seed)
    network = fit(crops, truth, args.steps, args.seed)
    export(network, args.out)


def make_examples(folders: list[Path], count: int, seed: int) -> Arrays:
    """Crops (N, S, S, 3) and truth (N, S, S, planes), made by as many processes as there are cores."""
    chunks = [
        (folders, (seed, number), min(_CHUNK, count - start)) for number, start in enumerate(range(0, count, _CHUNK))
    ]
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as executor:
        made = list(executor.map(generate, *zip(*chunks, strict=True)))
    return np.concatenate([crops for crops, _ in made]), np.concatenate([truth for _, truth in made])


def fit(crops: NDArray[np.uint8], truth: NDArray[np.uint8], steps: int, seed: int) -> Segmenter:
    """Train from scratch for `steps` batches."""
    torch.set_num_threads(1)  # the order of sums, and so the weights, would change with their number
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = Segmenter(len(PLANES))
    optimiser = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _RATE, total_steps=steps, pct_start=0.1)
    started, mean = time.monotonic(), 0.0
    for step in range(steps):
        rows = np.sort(rng.choice(len(crops), min(_BATCH, len(crops)), replace=False))
        pixels, planes = batch_of(rng, crops[rows], truth[rows], SIDE)
        loss = loss_of(network(pixels), planes)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        mean += (loss.item() - mean) / min(step + 1, 200)
        if (step + 1) % 200 == 0:
            print(f"step {step + 1:,} of {steps:,}: loss {mean:.4f}, {time.monotonic() - started:.0f} s", flush=True)
    return network.eval()


def loss_of(logits: Tensor, planes: Tensor) -> Tensor:
    """Cross-entropy of each pixel, the mask's on the face counted most, and the error of what is read off."""
    each = F.binary_cross_entropy_with_logits(logits, planes, reduction="none")
    on_face = 1 + 4 * planes[:, 1:].amax(dim=1)  # (B, H, W)
    pixelwise = ((2 * each[:, 0] + each[:, 1]) * on_face).mean() + each[:, 2:].mean()
    maps = logits.sigmoid()
    shares = F.smooth_l1_loss(_shares(maps), _shares(planes), beta=0.1)
    return pixelwise + 0.5 * shares + F.smooth_l1_loss(_bare_chin(maps), _bare_chin(planes), beta=0.1)


def _shares(maps: Tensor) -> Tensor:
    """The share of each region that the mask covers, (B, planes - 2)."""
    regions = maps[:, 2:]
    return torch.einsum("bphw,bhw->bp", regions, maps[:, 0]) / (regions.sum(dim=(2, 3)) + 1e-3)


def _bare_chin(maps: Tensor) -> Tensor:
    """The share of the chin's width that is bare, (B,), as cover.read_maps reads it."""
    return maps[:, 1, CHIN_ROWS, CHIN_COLUMNS].amax(dim=1).mean(dim=1)


def export(network: Segmenter, out: Path) -> None:
    """Write ONNX for any number of crops, with the planes that are read off; the regions were there to learn by."""
    network, whole = copy.deepcopy(network).eval(), network.head
    network.head = nn.Conv2d(whole.in_channels, len(cover.CHANNELS), 1)
    with torch.no_grad():
        network.head.weight.copy_(whole.weight[: len(cover.CHANNELS)])
        assert whole.bias is not None and network.head.bias is not None
        network.head.bias.copy_(whole.bias[: len(cover.CHANNELS)])
    sample = torch.zeros(1, 3, SIDE, SIDE)
    beside = out.with_name(f".{out.name}.new")
    torch.onnx.export(
        network,
        (sample,),
        beside,
        input_names=["pixels"],
        output_names=["logits"],
        dynamic_axes={"pixels": {0: "faces"}, "logits": {0: "faces"}},
        dynamo=False,
    )
    beside.replace(out)


if __name__ == "__main__":
    main()
