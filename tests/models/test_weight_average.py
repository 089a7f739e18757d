"""The average of the generators' weights over a training, which is what a checkpoint holds."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from models.methods.method import METHODS, load_method
from models.training import checkpoint, loop
from models.training.device import training_device
from models.training.optimisers import fresh_state
from models.weight_average import move_average, new_average
from tests.models.conftest import TINY, train_in

AVERAGED = [name for name in METHODS if load_method(name).averaged_share]


def constant(value):
    network = torch.nn.Linear(1, 1)
    for weight in network.parameters():
        torch.nn.init.constant_(weight, value)
    return network


def test_half_of_the_average_is_new_after_its_half_life():
    average, network = new_average(constant(0.0)), constant(1.0)
    for _ in range(10):
        move_average(average, network, images=2, half_life=20)
    assert average.weight.item() == pytest.approx(0.5)


def test_without_a_half_life_the_average_is_the_network():
    average = new_average(constant(0.0))
    move_average(average, constant(1.0), images=2, half_life=0)
    assert average.weight.item() == 1


def test_the_methods_that_correct_drawings_average_their_generators():
    assert AVERAGED == ["guided", "simgan"]


@pytest.fixture
def seen(monkeypatch):
    """The weights of generator_mask after each step of the training."""
    weights = []
    true_move = loop._move_averages

    def watched(state, *args):
        weights.append(
            torch.cat([weight.detach().flatten() for weight in state.networks["generator_mask"].parameters()])
        )
        true_move(state, *args)

    monkeypatch.setattr(loop, "_move_averages", watched)
    return weights


def flat(folder):
    generator, _ = checkpoint.load_generator(Path(folder), "mask")
    return torch.cat([weight.detach().flatten() for weight in generator.parameters()])


@pytest.mark.parametrize("method", AVERAGED)
def test_the_checkpoint_holds_the_average_and_not_the_last_weights(pack, seen, method):
    params = replace(TINY, method=method, simgan=replace(TINY.simgan, refiner_images=0, discriminator_images=0))
    paths = train_in("out", params)
    made, steps = flat(paths.checkpoints), torch.stack(seen)
    assert not torch.equal(made, steps[-1])
    assert (made - steps[-1]).abs().sum() < (made - steps[0]).abs().sum()


def test_the_checkpoint_of_a_method_without_average_holds_the_last_weights(pack, seen):
    paths = train_in("out", replace(TINY, method="cyclegan"))
    assert torch.equal(flat(paths.checkpoints), seen[-1])


def test_a_new_training_starts_from_the_average(pack):
    paths = train_in("out", TINY)
    method = load_method("guided")
    state = fresh_state(method.make_networks(TINY), TINY, training_device(TINY))
    state.averages = {"generator_mask": new_average(state.networks["generator_mask"])}
    checkpoint.load_networks(paths.checkpoints, state)
    expected = load_file(paths.checkpoints / "generator_mask.safetensors")
    for network in (state.networks["generator_mask"], state.averages["generator_mask"]):
        assert all(torch.equal(value, expected[key]) for key, value in network.state_dict().items())
