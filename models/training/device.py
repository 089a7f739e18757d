"""What this machine trains on, in which number format, and whether the step is compiled."""

import os
import resource
import shutil
import sys
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import cast

import torch
from torch import nn

from models.params import TrainParams

# Images a domain from which the minute or two of compiling are won back; measured, docs/models.md.
_PAYS_FROM = 5_000


@dataclass(frozen=True)
class TrainingDevice:
    device: torch.device
    bf16: bool
    compile: bool
    why: str

    def autocast(self) -> AbstractContextManager[None]:
        """Forward passes run in this: bfloat16 where that is faster, else float32 untouched."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)

    def memory_gb(self) -> float:
        """The most memory that training has held so far, 10^9 bytes: of the GPU, or of this process."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated() / 1e9
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most * (1 if sys.platform == "darwin" else 1024) / 1e9

    def compiled(self, module: nn.Module) -> nn.Module:
        """The module, compiled for the shapes that it is called with, or as it is."""
        return cast(nn.Module, torch.compile(module, dynamic=False)) if self.compile else module


def training_device(params: TrainParams) -> TrainingDevice:
    """A GPU where there is one; the number format and compiling as `params` say, or what pays here (docs/models.md)."""
    gpu = torch.cuda.is_available()
    device = torch.device("cuda" if gpu else "cpu")
    name = torch.cuda.get_device_name() if gpu else f"{torch.get_num_threads()} CPU threads"
    bf16, why_format = _number_format(params, gpu)
    compiles, why_compile = _compiling(params, gpu)
    return TrainingDevice(device, bf16, compiles, f"{name}, {why_format}, {why_compile}")


def has_bf16_units(gpu: bool) -> bool:
    """Whether the GPU, or this processor, multiplies bfloat16 in units of its own: AMX, or AVX-512's instructions."""
    if gpu:
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


def _number_format(params: TrainParams, gpu: bool) -> tuple[bool, str]:
    if params.precision != "auto":
        return params.precision == "bfloat16", f"{params.precision} as train.precision says"
    return (True, "bfloat16") if has_bf16_units(gpu) else (False, "float32: no units for bfloat16")


def _compiling(params: TrainParams, gpu: bool) -> tuple[bool, str]:
    if params.compile != "auto":
        return params.compile, f"{'compiled' if params.compile else 'not compiled'} as train.compile says"
    if params.images < _PAYS_FROM:
        return False, "not compiled: too few images for it to pay"
    if not gpu and not shutil.which(os.environ.get("CXX", "g++")):
        return False, "not compiled: no C++ compiler (g++) here"
    return True, "compiled"
