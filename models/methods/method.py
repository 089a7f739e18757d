"""The interface of a training method: the plain functions that the training loop calls. Each method is one file here.

The loop loads only the method that `train.method` names: DVC lists that file alone, and so a change of one method does
not make a model of another method stale.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.params import Direction, GeneratorKind, MethodName, TrainParams
from pipeline.storage.packed_arrays import DOMAINS, PackedSet


class Faces(NamedTuple):
    """Faces of one domain."""

    images: Tensor  # (B, 3, H, W) in [-1, 1]
    conditioning: Tensor  # (B, 2, H, W) in [0, 1]: conditioning maps, the lower-face region and the landmark sketch
    drawing: Tensor | None = None  # (B, 5, H, W) in [0, 1] (models.drawings): a mask for the face, where a method draws
    pair: Tensor | None = None  # (B, 3, H, W) in [-1, 1]: the same unmasked faces with masks, where a method draws
    bare: Tensor | None = None  # (B, 4, H, W) in [0, 1] (models.drawings): masked faces with a drawn face instead

    def on(self, device: torch.device) -> "Faces":
        """The same faces on a device."""
        return Faces(*(None if part is None else part.to(device) for part in self))  # type: ignore[arg-type]

    def drawing_for(self, direction: Direction) -> Tensor | None:
        """What a generator of this direction corrects: a drawn mask, or a drawn bare face."""
        return self.drawing if direction == "mask" else self.bare


class DrawnInputs(NamedTuple):
    """The drawn masks with which faces come in training."""

    drawings: tuple[str, ...] = ()  # domains of which each face comes with a drawing
    twin_share: float | None = None
    """None: no pairs. Else each unmasked face comes with its pair. Of a face that has a twin, i.e. a masked photo of
    the same FFHQ id, the pair is the twin with this probability; other pairs have drawn masks."""
    bare: bool = False
    """Whether masked faces, and pairs, come with a bare face drawn in place of the mask."""


ALL_DRAWN = DrawnInputs(DOMAINS, twin_share=0.5, bare=True)


_CORRECTED_EVERY = 4


def is_corrected(position: int) -> bool:
    """Whether G's output takes the place of the pair of the unmasked image at a position: F learns to take it off."""
    return position % _CORRECTED_EVERY == 0


def twin_indices(unmasked: PackedSet, masked: PackedSet) -> NDArray[np.int64]:
    """For each unmasked image the index of its twin, the masked photo of the same FFHQ id, or -1."""
    known = {ffhq_id: index for index, ffhq_id in enumerate(masked.ffhq_ids) if ffhq_id is not None}
    twins = [-1 if ffhq_id is None else known.get(ffhq_id, -1) for ffhq_id in unmasked.ffhq_ids]
    return np.array(twins, np.int64)


class TrainedHalves(NamedTuple):
    """Which networks a step trains."""

    generators: bool = True
    discriminators: bool = True


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
    """The architecture of the generators, by which a checkpoint is read without the method."""

    make_networks: Callable[[TrainParams], dict[str, nn.Module]]
    """The networks by name (models.training.state_files), with initial weights drawn from train.seed.

    A method that only puts masks on has no `generator_unmask` and no `discriminator_unmasked`. One that makes new faces
    has the networks models.training.state_files.FACES instead.
    """

    epoch_indices: Callable[[PackedSet, PackedSet, TrainParams], dict[str, NDArray[np.int64]]]
    """(unmasked, masked) sets -> domain -> indices of the images that one epoch shows, repeats included."""

    generator_objective: Callable[[dict[str, nn.Module], TrainParams], nn.Module]
    """(networks, params) -> a module: `generator_inputs` -> GeneratorResult. The discriminators get no gradients."""

    generator_inputs: Callable[[Batch, Batch, TrainParams], tuple[Any, ...]]
    """(unmasked, masked) batches -> the arguments of the generator objective."""

    discriminator_objective: Callable[[dict[str, nn.Module], TrainParams], nn.Module]
    """(networks, params) -> a module: `discriminator_inputs` -> the sum of the discriminators' losses, a scalar."""

    discriminator_inputs: Callable[[Batch, Batch, dict[str, Tensor], TrainParams], tuple[Tensor, ...]]
    """(unmasked, masked) batches, fakes from the pools by domain -> the arguments of the discriminator objective."""

    drawn_inputs: Callable[[TrainParams], DrawnInputs] = lambda params: DrawnInputs()
    """The drawn masks that the method trains with."""

    trained_halves: Callable[[TrainParams, int], TrainedHalves] = lambda params, images_seen: TrainedHalves()
    """(params, images seen before the step) -> which networks the step trains."""

    after_step: Callable[[dict[str, nn.Module], TrainParams, int], None] = lambda networks, params, images_seen: None
    """(networks, params, images seen with the step) -> None: changes networks that no optimiser changes."""

    averaged_share: float = 0.0
    """Above 0: a checkpoint's generators are averages of their weights, half of which are from this last share of the
    images seen, or from the last 10,000. 0: they are the last weights. Of fastgan, an average is among the networks."""

    plateau_term: str = "cycle"
    """The term that the schedule `plateau` monitors."""


METHODS: dict[MethodName, str] = {
    "guided": "models.methods.guided",
    "cyclegan": "models.methods.cyclegan",
    "simgan": "models.methods.simgan",
    "pix2pix": "models.methods.pix2pix",
    "fastgan": "models.methods.fastgan",
}
"""The module of each method; it defines METHOD."""


def load_method(name: MethodName) -> Method:
    """Import one method, and no other."""
    method: Method = import_module(METHODS[name]).METHOD
    return method
