"""The batches of a training, in order, made ahead by worker processes where a GPU trains.

On a CPU they are made between the steps: the cores are busy with the step.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from models.methods.method import Batch
from models.training.data import TrainingSet, to_faces, training_batch
from models.training.step import TrainingContext
from pipeline.masks.worn import use_one_thread
from pipeline.storage.packed_arrays import DOMAINS

_AHEAD = 4  # batches that each worker makes ahead
_MAX_WORKERS = 16


@dataclass(frozen=True)
class _Steps(Dataset[list[Tensor]]):
    """The batches of one process: item i is that of step i, a tensor for each domain."""

    sets: dict[str, TrainingSet]
    context: TrainingContext

    def positions(self, step: int) -> range:
        params = self.context.params
        start = step * params.batch_size
        return range(start, min(start + params.batch_size, params.images_per_domain))

    def __getitem__(self, step: int) -> list[Tensor]:
        params, share = self.context.params, self.context.group.share(self.positions(step))
        return [training_batch(self.sets[domain], params.seed, share, params.image_px) for domain in DOMAINS]

    def __len__(self) -> int:
        params = self.context.params
        return -(-params.images_per_domain // params.batch_size)


def batches(
    sets: dict[str, TrainingSet], context: TrainingContext, images_seen: int, workers: int | None = None
) -> Iterator[tuple[range, Batch, Batch]]:
    """Yield, from the image `images_seen` to the last, the positions of each step and its batches, on the device.

    `workers` processes make them; 0: this one; None: as many as the device needs.
    """
    steps, device = _Steps(sets, context), context.device.device
    gpu = device.type == "cuda"
    if workers is None:
        workers = _workers() if gpu else 0
    # Rounded up: after the last step, whose batch may be smaller, none is left.
    todo = range(-(-images_seen // context.params.batch_size), len(steps))
    if workers:
        use_one_thread()  # before the fork: a child that ends OpenCV's threads waits for ever, for it has none of them
    loader = DataLoader(
        steps,
        batch_size=None,
        sampler=todo,
        num_workers=workers,
        prefetch_factor=_AHEAD if workers else None,
        pin_memory=gpu,
        multiprocessing_context="fork" if workers else None,
    )
    for step, arrays in zip(todo, loader, strict=True):
        positions = steps.positions(step)
        share = context.group.share(positions)
        unmasked, masked = (Batch(to_faces(array.to(device, non_blocking=True)), share) for array in arrays)
        yield positions, unmasked, masked


def _workers() -> int:
    """Worker processes of this process; several training processes on one machine share its cores."""
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return max(1, min(_MAX_WORKERS, (len(os.sched_getaffinity(0)) - 1) // here))
