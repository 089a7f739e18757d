"""What this machine trains on, and in which number format."""

from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Machine:
    device: torch.device
    bf16: bool
    why: str

    def autocast(self) -> AbstractContextManager[None]:
        """Forward passes run in this: bfloat16 where that is faster, else float32 untouched."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)


def this_machine() -> Machine:
    """A GPU where there is one. On a CPU bfloat16 is used with AMX units only (docs/models.md: 2.5 x)."""
    if torch.cuda.is_available():
        name = torch.cuda.get_device_name()
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return Machine(torch.device("cuda"), True, f"{name}, bfloat16")
        return Machine(torch.device("cuda"), False, f"{name}, float32: it has no bfloat16 units")
    cores = f"{torch.get_num_threads()} CPU threads"
    if torch.cpu._is_amx_tile_supported():
        return Machine(torch.device("cpu"), True, f"{cores}, bfloat16 by AMX")
    return Machine(torch.device("cpu"), False, f"{cores}, float32: no AMX units")
