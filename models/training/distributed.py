"""Data-parallel training in several processes, as torchrun starts them; with one process every call is trivial.

Every process holds the same networks, optimisers and pools, takes its share of each batch, and gets the mean of all
gradients. So a saved state does not depend on the number of processes, and another number may resume it.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from pipeline.errors import FacemaskError


@dataclass(frozen=True)
class ProcessGroup:
    """The processes of this training, and this one's rank among them."""

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))  # of the tensors that they exchange

    @property
    def is_main(self) -> bool:
        """Whether this process prints and saves."""
        return self.rank == 0

    def share(self, positions: range) -> range:
        """This process's share of a batch's positions; `check_divisible` makes sure that all shares are equal."""
        each = len(positions) // self.size
        return positions[self.rank * each : (self.rank + 1) * each]

    def own(self, gathered: Tensor) -> Tensor:
        """This process's share (B, ...) of a tensor (size B, ...) in the order of `all_gather`."""
        each = len(gathered) // self.size
        return gathered[self.rank * each : (self.rank + 1) * each]

    def all_gather(self, part: Tensor) -> Tensor:
        """The parts of all processes, joined by rank: (B, ...) -> (size B, ...)."""
        if self.size == 1:
            return part
        parts = [torch.empty_like(part) for _ in range(self.size)]
        distributed.all_gather(parts, part.contiguous())
        return torch.cat(parts)

    def mean(self, values: Tensor) -> Tensor:
        """The mean over all processes; overwrites `values`."""
        if self.size > 1:
            distributed.all_reduce(values)
        return values / self.size

    def agreed(self, here: float) -> float:
        """The mean of a number over all processes."""
        return float(self.mean(torch.tensor(here, device=self.device))) if self.size > 1 else here

    def any(self, here: bool) -> bool:
        """Whether `here` is true in any process."""
        return bool(self.mean(torch.tensor(float(here), device=self.device)) > 0) if self.size > 1 else here

    def wait(self) -> None:
        """Block until all processes call it."""
        if self.size > 1:
            distributed.barrier()

    def wrap_ddp(self, module: nn.Module) -> nn.Module:
        """The module with its gradients averaged over all processes."""
        return DistributedDataParallel(module) if self.size > 1 else module

    def check_divisible(self, images: int, batch_size: int) -> None:
        """Raise FacemaskError unless every batch, the last one too, splits evenly over the processes."""
        for key, value in (("batch_size", batch_size), ("images_per_domain", images)):
            if value % self.size:
                raise FacemaskError(
                    f"train.{key} is {value}, which {self.size} processes cannot share evenly: change either"
                )


@contextmanager
def process_group() -> Iterator[ProcessGroup]:
    """Yield the group in which torchrun started this process, else a group of one. One GPU a process; CPUs use gloo."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ProcessGroup()
        return
    gpu = torch.cuda.is_available()
    if gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if gpu else "gloo")
    try:
        yield ProcessGroup(distributed.get_rank(), size, torch.device("cuda" if gpu else "cpu"))
    finally:
        distributed.destroy_process_group()
