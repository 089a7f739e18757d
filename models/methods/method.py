"""The interface of a training method: the plain functions that the training loop calls. Each method is one file here.

The loop loads only the method that `train.method` names: DVC lists that file alone, and so a change of one method does
not make a model of another method stale.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.params import GeneratorKind, MethodName, TrainParams
from pipeline.storage.packed_arrays import PackedSet


class Faces(NamedTuple):
    """Faces of one domain."""

    images: Tensor  # (B, 3, H, W) in [-1, 1]
    conditioning: Tensor  # (B, 2, H, W) in [0, 1]: conditioning maps, the lower-face region and the landmark sketch
    drawing: Tensor | None = None  # (B, 5, H, W) in [0, 1] (models.drawings): a mask for the face, where a method draws
    pair: Tensor | None = None  # (B, 3, H, W) in [-1, 1]: the same unmasked faces with masks, where a method draws

    def on(self, device: torch.device) -> "Faces":
        """The same faces on a device."""
        drawing, pair = (None if part is None else part.to(device) for part in (self.drawing, self.pair))
        return Faces(self.images.to(device), self.conditioning.to(device), drawing, pair)


@dataclass(frozen=True)
class Batch:
    """A batch of one domain, or this process's share of it."""

    faces: Faces
    positions: range  # of the images, counted from the start of training: seeds of their random numbers


class GeneratorResult(NamedTuple):
    """What a generator objective returns."""

    total: Tensor  # the loss to minimise, a scalar
    terms: dict[str, Tensor]  # its unweighted terms, for the training curves
    fakes: dict[str, Tensor]  # domain -> (B, C, H, W), detached, for the image pool and the discriminator


@dataclass(frozen=True)
class Method:
    """The functions of one training method."""

    generator: GeneratorKind
    """The architecture of both generators, by which a checkpoint is read without the method."""

    drawings: bool
    """Whether the method needs drawn masks."""

    make_networks: Callable[[TrainParams], dict[str, nn.Module]]
    """The networks by name (models.training.state_files), with initial weights drawn from train.seed."""

    epoch_indices: Callable[[PackedSet, PackedSet], dict[str, NDArray[np.int64]]]
    """(unmasked, masked) sets -> domain -> indices of the images that one epoch shows, repeats included."""

    generator_objective: Callable[[dict[str, nn.Module], TrainParams], nn.Module]
    """(networks, params) -> a module: `generator_inputs` -> GeneratorResult. The discriminators get no gradients."""

    generator_inputs: Callable[[Batch, Batch, TrainParams], tuple[Faces | Tensor, ...]]
    """(unmasked, masked) batches -> the arguments of the generator objective."""

    discriminator_objective: Callable[[dict[str, nn.Module], TrainParams], nn.Module]
    """(networks, params) -> a module: `discriminator_inputs` -> the sum of both discriminators' losses, a scalar."""

    discriminator_inputs: Callable[[Batch, Batch, dict[str, Tensor]], tuple[Tensor, ...]]
    """(unmasked, masked) batches, fakes from the pools by domain -> the arguments of the discriminator objective."""


METHODS: dict[MethodName, str] = {"guided": "models.methods.guided", "cyclegan": "models.methods.cyclegan"}
"""The module of each method; it defines METHOD."""


def load_method(name: MethodName) -> Method:
    """Import one method, and no other."""
    method: Method = import_module(METHODS[name]).METHOD
    return method
