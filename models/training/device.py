"""The device that training runs on, its number format, and whether the step is compiled."""

import os
import resource
import shutil
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import cast

import torch
from torch import nn

from models.params import TrainParams

# Images of each domain from which compiling, which takes a minute or two, saves time in all; measured, docs/models.md.
_COMPILE_FROM_IMAGES = 5_000
_COMPILE_FROM_MINUTES = 15


@dataclass(frozen=True)
class TrainingDevice:
    """A device and how to compute on it."""

    device: torch.device
    bf16: bool  # forward passes in bfloat16, else in float32
    compile: bool
    description: str  # for people: the device, the number format and compiling, with reasons

    def autocast(self) -> AbstractContextManager[None]:
        """The context for forward passes: bfloat16 autocast, or none."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)

    def memory_gb(self) -> float:
        """The peak memory of training so far, in 10^9 bytes: of the GPU, else of this process."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated() / 1e9
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak * (1 if sys.platform == "darwin" else 1024) / 1e9

    def compiled(self, module: nn.Module) -> nn.Module:
        """The module, compiled if `compile` is set; each shape of its inputs compiles it anew."""
        return cast(nn.Module, torch.compile(module, dynamic=False)) if self.compile else module


def training_device(params: TrainParams) -> TrainingDevice:
    """A GPU if there is one, else the CPU; number format and compiling by `params`, or what is faster here."""
    gpu = torch.cuda.is_available()
    device = torch.device("cuda" if gpu else "cpu")
    name = torch.cuda.get_device_name() if gpu else f"{torch.get_num_threads()} CPU threads"
    bf16, why_format = _number_format(params, gpu)
    compiles, why_compile = _compiling(params, gpu)
    return TrainingDevice(device, bf16, compiles, f"{name}, {why_format}, {why_compile}")


@contextmanager
def deterministic_algorithms(wanted: bool) -> Iterator[None]:
    """Within it torch computes with deterministic algorithms only, if `wanted`; other operations raise RuntimeError.

    To be entered before the first CUDA operation: cuBLAS reads its variable once. models.deterministic has forms of the
    operations of our networks that lack one.
    """
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    if wanted:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # 8 buffers of 4 MiB: fixed, hence deterministic
        torch.backends.cudnn.benchmark = False  # which picks kernels by their time
        torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.benchmark = before[1]


def has_bf16_units(gpu: bool) -> bool:
    """Whether the GPU, or else this processor, has hardware for bfloat16 products (AMX or AVX-512 BF16)."""
    if gpu:
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


def _number_format(params: TrainParams, gpu: bool) -> tuple[bool, str]:
    """Whether to use bfloat16, and the reason."""
    if params.precision != "auto":
        return params.precision == "bfloat16", f"{params.precision} as train.precision says"
    return (True, "bfloat16") if has_bf16_units(gpu) else (False, "float32: no units for bfloat16")


def _compiling(params: TrainParams, gpu: bool) -> tuple[bool, str]:
    """Whether to compile, and the reason."""
    if params.compile != "auto":
        return params.compile, f"{'compiled' if params.compile else 'not compiled'} as train.compile says"
    if params.images_per_domain < _COMPILE_FROM_IMAGES or (params.minutes and params.minutes < _COMPILE_FROM_MINUTES):
        return False, "not compiled: too short a training to save time"
    if not gpu and not shutil.which(os.environ.get("CXX", "g++")):
        return False, "not compiled: no C++ compiler (g++) here"
    return True, "compiled"
