"""The optimisers of a training, and the schedules of their learning rates."""

import torch
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from models.params import TrainParams
from models.training.checkpoint import TrainingState
from models.training.device import TrainingDevice
from models.training.image_pool import ImagePool
from models.training.state_files import DISCRIMINATORS, FACE_DISCRIMINATOR, FACE_GENERATOR, GENERATORS
from pipeline.storage.packed_arrays import DOMAINS


def fresh_state(networks: dict[str, nn.Module], params: TrainParams, device: TrainingDevice) -> TrainingState:
    """The state before the first step: `networks` moved to the device, new optimisers and empty pools."""
    for network in networks.values():
        network.to(device.device)
    optimisers = make_optimisers(networks, params)
    plateaus = make_plateaus(optimisers) if params.schedule == "plateau" else {}
    judged = [domain for domain in DOMAINS if {f"discriminator_{domain}", FACE_DISCRIMINATOR} & networks.keys()]
    pools = {domain: ImagePool(params.pool_size) for domain in judged}
    return TrainingState(networks, optimisers, plateaus, pools, images_seen=0, losses={}, history=[])


def make_optimisers(networks: dict[str, nn.Module], params: TrainParams) -> dict[str, torch.optim.Optimizer]:
    """Adam for the generators, and for the discriminators; the settings of Zhu et al. 2017 (section 4)."""
    optimisers: dict[str, torch.optim.Optimizer] = {}
    sides = {"generators": (*GENERATORS, FACE_GENERATOR), "discriminators": (*DISCRIMINATORS, FACE_DISCRIMINATOR)}
    for side, names in sides.items():
        weights = [weight for name in names if name in networks for weight in networks[name].parameters()]
        optimisers[side] = torch.optim.Adam(weights, lr=params.learning_rate, betas=(0.5, 0.999), fused=True)
    return optimisers


def make_plateaus(optimisers: dict[str, torch.optim.Optimizer]) -> dict[str, ReduceLROnPlateau]:
    """A plateau schedule for each optimiser, with the numbers of the original study and the CycleGAN authors' code."""
    return {
        name: ReduceLROnPlateau(optimiser, mode="min", factor=0.2, threshold=0.01, patience=5)
        for name, optimiser in optimisers.items()
    }


def progress(params: TrainParams, images_seen: int, seconds: float) -> float:
    """The share of the training that is done, 0-1: of its images, or of its minutes if that is more."""
    by_time = seconds / (60 * params.minutes) if params.minutes else 0.0
    return min(1.0, max(images_seen / params.images_per_domain, by_time))


def linear_learning_rate(params: TrainParams, done: float) -> float:
    """Constant over the first half of training, then linear to 0 (Zhu et al. 2017, section 4); `done` is 0-1."""
    return params.learning_rate * min(1.0, 2 * (1 - done))


def set_learning_rates(state: TrainingState, params: TrainParams) -> None:
    """Set the learning rate of the next step for the linear schedule; with plateau, `state.plateaus` have set it."""
    if params.schedule == "linear":
        for optimiser in state.optimisers.values():
            for group in optimiser.param_groups:
                group["lr"] = linear_learning_rate(params, progress(params, state.images_seen, state.seconds))
