"""One training step: the losses and gradients of both halves of the GAN (Zhu et al. 2017, equations 3 and 4).

Each half is one module with one forward pass, as torch.compile and DistributedDataParallel require; the method's
file in models/methods/ defines it.
"""

from dataclasses import dataclass

import torch
from torch import nn

from models.methods.method import Batch, Method
from models.params import TrainParams
from models.random_streams import POOL, stream
from models.training.checkpoint import TrainingState
from models.training.device import TrainingDevice
from models.training.distributed import ProcessGroup
from models.training.state_files import DISCRIMINATORS, FACE_DISCRIMINATOR
from models.training.tracking import Row


@dataclass(frozen=True)
class TrainingContext:
    """What stays the same during a training."""

    params: TrainParams
    method: Method
    device: TrainingDevice
    group: ProcessGroup


@dataclass(frozen=True)
class Objectives:
    """The modules that compute the losses, compiled and wrapped for several processes where the context says so."""

    generators: nn.Module
    discriminators: nn.Module


def make_objectives(state: TrainingState, context: TrainingContext) -> Objectives:
    """The method's objectives for the networks of `state`."""
    method, params = context.method, context.params
    modules = (
        method.generator_objective(state.networks, params),
        method.discriminator_objective(state.networks, params),
    )
    return Objectives(*(context.device.compiled(context.group.wrap_ddp(module)) for module in modules))


def train_step(
    state: TrainingState, objectives: Objectives, unmasked: Batch, masked: Batch, context: TrainingContext
) -> Row:
    """Compute all gradients and return the losses; changes only gradients and pools.

    The caller checks the losses before the optimisers step: so a NaN never reaches the weights. A network that the step
    does not train (`Method.trained_halves`) has no gradients, so that its optimiser changes nothing.
    """
    method, params, group = context.method, context.params, context.group
    for optimiser in state.optimisers.values():
        optimiser.zero_grad(set_to_none=True)

    # Generators.
    inputs = method.generator_inputs(unmasked, masked, params)
    discriminators = [state.networks[name] for name in (*DISCRIMINATORS, FACE_DISCRIMINATOR) if name in state.networks]
    halves = method.trained_halves(params, state.images_seen)
    for discriminator in discriminators:
        discriminator.requires_grad_(False)
    with context.device.autocast(), torch.set_grad_enabled(halves.generators):
        result = objectives.generators(*inputs)
    if halves.generators:
        result.total.backward()
    for discriminator in discriminators:
        discriminator.requires_grad_(True)

    # Image pools. Each process holds the whole pool, adds all fakes, and takes its share of what the pool returns.
    fakes = {}
    for domain, pool in state.pools.items():
        rng = stream(params.seed, POOL, domain, state.images_seen)
        fakes[domain] = group.own(pool.exchange(group.all_gather(result.fakes[domain]), rng))

    # Discriminators.
    with context.device.autocast(), torch.set_grad_enabled(halves.discriminators):
        loss = objectives.discriminators(*method.discriminator_inputs(unmasked, masked, fakes, params))
    if halves.discriminators:
        loss.backward()

    terms = {**result.terms, "discriminator": loss}
    values = group.mean(torch.stack([value.detach() for value in terms.values()])).tolist()  # waits once for the device
    return dict(zip(terms, values, strict=True))
