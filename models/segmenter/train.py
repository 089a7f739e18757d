"""Train the segmenter on generated examples and export it for pipeline.faces.mask_coverage:

    python -m models.segmenter.train FACES_FOLDER... --out pipeline/faces/mask_coverage.onnx

The folders hold images of faces without masks. The same folders, seed and numbers give the same weights.
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

from models.segmenter.augment import augment_batch
from models.segmenter.network import Segmenter
from pipeline.command import run
from pipeline.faces.alignment import CROP_SIDE
from pipeline.faces.mask_coverage import CHANNELS, CHIN_COLUMNS, CHIN_ROWS
from pipeline.storage.files import replacing
from pipeline.synthetic.mask_examples import TRUTH_CHANNELS, generate

Arrays = tuple[NDArray[np.uint8], NDArray[np.uint8]]
"""Crops (N, S, S, 3) and truth (N, S, S, C), 0-255."""

_BATCH = 32
_LEARNING_RATE = 3e-3
_CHUNK = 500  # examples of one call of a worker process
_LOG_STEPS = 200


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folders", nargs="+", type=Path, metavar="FACES_FOLDER")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--examples", type=int, default=12_000)
    parser.add_argument("--steps", type=int, default=5_000, help=f"batches of {_BATCH}")
    args = parser.parse_args()
    crops, truth = make_examples(args.folders, args.examples, args.seed)
    export(train(crops, truth, args.steps, args.seed), args.out)


def make_examples(folders: list[Path], count: int, seed: int) -> Arrays:
    """Generate examples from the faces under `folders`, in a process for each core."""
    chunks = [
        (folders, (seed, number), min(_CHUNK, count - start)) for number, start in enumerate(range(0, count, _CHUNK))
    ]
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as executor:
        generated = list(executor.map(generate, *zip(*chunks, strict=True)))
    return np.concatenate([crops for crops, _ in generated]), np.concatenate([truth for _, truth in generated])


def train(crops: NDArray[np.uint8], truth: NDArray[np.uint8], steps: int, seed: int) -> Segmenter:
    """Train from scratch for `steps` batches on crops (N, S, S, 3) and truth (N, S, S, C)."""
    torch.set_num_threads(1)  # their number changes the order of sums, and so the weights
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = Segmenter(len(TRUTH_CHANNELS))
    optimizer = torch.optim.AdamW(network.parameters(), lr=_LEARNING_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LEARNING_RATE, total_steps=steps, pct_start=0.1)
    started, mean = time.monotonic(), 0.0
    for step in range(1, steps + 1):
        rows = np.sort(rng.choice(len(crops), min(_BATCH, len(crops)), replace=False))
        pixels, target = augment_batch(rng, crops[rows], truth[rows], CROP_SIDE)
        loss = segmentation_loss(network(pixels), target)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        mean += (loss.item() - mean) / min(step, _LOG_STEPS)
        if step % _LOG_STEPS == 0:
            print(f"step {step:,} of {steps:,}: loss {mean:.4f}, {time.monotonic() - started:.0f} s", flush=True)
    return network.eval()


def segmentation_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy, weighted by channel and on the face, plus the errors of the numbers that curation reads off.

    Both (B, C, H, W), TRUTH_CHANNELS; returns a scalar.
    """
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    face_weight = 1 + 4 * target[:, 1:].amax(dim=1)  # (B, H, W)
    pixelwise = ((2 * entropy[:, 0] + entropy[:, 1]) * face_weight).mean() + entropy[:, 2:].mean()
    maps = logits.sigmoid()
    shares = F.smooth_l1_loss(_covered_shares(maps), _covered_shares(target), beta=0.1)
    return pixelwise + 0.5 * shares + F.smooth_l1_loss(_bare_chin(maps), _bare_chin(target), beta=0.1)


def _covered_shares(maps: Tensor) -> Tensor:
    """The share of each region that the mask covers, (B, C - 2)."""
    regions = maps[:, 2:]
    return torch.einsum("bphw,bhw->bp", regions, maps[:, 0]) / (regions.sum(dim=(2, 3)) + 1e-3)


def _bare_chin(maps: Tensor) -> Tensor:
    """The share of the chin's width that is bare, (B,), as mask_coverage.coverage_from_maps computes it."""
    return maps[:, 1, CHIN_ROWS, CHIN_COLUMNS].amax(dim=1).mean(dim=1)


def export(network: Segmenter, out: Path) -> None:
    """Write ONNX for any number of crops, with mask_coverage.CHANNELS; the regions serve training only."""
    network, head = copy.deepcopy(network).eval(), network.head
    network.head = nn.Conv2d(head.in_channels, len(CHANNELS), 1)
    with torch.no_grad():
        network.head.weight.copy_(head.weight[: len(CHANNELS)])
        assert head.bias is not None and network.head.bias is not None
        network.head.bias.copy_(head.bias[: len(CHANNELS)])
    with replacing(out) as beside:
        torch.onnx.export(
            network,
            (torch.zeros(1, 3, CROP_SIDE, CROP_SIDE),),
            beside,
            input_names=["pixels"],
            output_names=["logits"],
            dynamic_axes={"pixels": {0: "faces"}, "logits": {0: "faces"}},
            dynamo=False,
        )


if __name__ == "__main__":
    run(main)
