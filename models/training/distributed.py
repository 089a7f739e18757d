"""Several processes that train one model together, as torchrun starts them; alone, each of these does nothing.

Every process holds the same networks, optimisers and pools, takes its share of each batch, and sees the mean of all
gradients. So what is saved is the same whatever number of processes made it, and may be resumed by another number.
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
    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))  # where what they exchange has to lie

    @property
    def is_main(self) -> bool:
        """Whether this process is the one that prints and saves."""
        return self.rank == 0

    def share(self, positions: range) -> range:
        """This process's part of a batch's positions; `refuse_uneven` has seen that all parts are equally long."""
        each = len(positions) // self.size
        return positions[self.rank * each : (self.rank + 1) * each]

    def own(self, process_group: Tensor) -> Tensor:
        """This process's part of what `gathered` gave, or of what was made of it."""
        each = len(process_group) // self.size
        return process_group[self.rank * each : (self.rank + 1) * each]

    def all_gather(self, part: Tensor) -> Tensor:
        """The parts of all processes, joined in order: (B, ...) -> (size B, ...)."""
        if self.size == 1:
            return part
        parts = [torch.empty_like(part) for _ in range(self.size)]
        distributed.all_gather(parts, part.contiguous())
        return torch.cat(parts)

    def mean(self, values: Tensor) -> Tensor:
        if self.size > 1:
            distributed.all_reduce(values)
        return values / self.size

    def any(self, here: bool) -> bool:
        """Whether it is so in any of the processes."""
        return bool(self.mean(torch.tensor(float(here), device=self.device)) > 0) if self.size > 1 else here

    def wait(self) -> None:
        """Until all processes are here."""
        if self.size > 1:
            distributed.barrier()

    def wrap_ddp(self, module: nn.Module) -> nn.Module:
        """The module with its gradients averaged over all processes."""
        return DistributedDataParallel(module) if self.size > 1 else module

    def check_divisible(self, images: int, batch_size: int) -> None:
        """Raises FacemaskError unless every batch splits evenly, the last one too."""
        for key, value in (("batch_size", batch_size), ("images", images)):
            if value % self.size:
                raise FacemaskError(
                    f"train.{key} is {value}, which {self.size} processes cannot share evenly: change either"
                )


@contextmanager
def process_group() -> Iterator[ProcessGroup]:
    """The group that torchrun started this process in, if it did. One GPU a process; without GPUs, gloo."""
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
