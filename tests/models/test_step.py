"""The objectives of both methods: which network learns from which images."""

import pytest
import torch

from models.methods import cyclegan, guided
from models.methods.method import Faces
from tests.models.conftest import TINY

IMAGE, CONDITIONING = torch.rand(2, 3, 32, 32), torch.ones(2, 2, 32, 32)


class Recorder(torch.nn.Module):
    """A generator, and the conditions that it was called with."""

    def __init__(self, generator):
        super().__init__()
        self.generator, self.conditions = generator, []

    def forward(self, image, guide, condition=None):
        self.conditions.append(condition)
        return self.generator(image, guide, condition)


@pytest.mark.parametrize(("network", "channels"), [("generator_mask", 4), ("generator_unmask", 1)])
def test_only_the_second_half_of_a_guided_cycle_is_conditioned(network, channels):
    networks = guided.make_networks(TINY)
    networks[network] = Recorder(networks[network])
    guided.GeneratorObjective(networks, TINY)(Faces(IMAGE, CONDITIONING), Faces(IMAGE, CONDITIONING), IMAGE)
    first, second = networks[network].conditions
    assert first is None
    assert second.shape == (2, channels, 32, 32) and second.any()


def gradient(method, network, masked, term):
    """The gradient of one loss for one generator's first weights, with these masked faces and fixed unmasked ones."""
    networks = method.make_networks(TINY)
    unmasked = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    inputs = Faces(unmasked, CONDITIONING), Faces(masked, CONDITIONING), *([unmasked] if method is guided else [])
    result = method.GeneratorObjective(networks, TINY)(*inputs)
    return torch.autograd.grad(result.terms[term], next(networks[network].parameters()))[0]


def depends_on_masked_faces(method, network, term):
    return not torch.equal(*(gradient(method, network, masked, term) for masked in (torch.zeros_like(IMAGE), IMAGE)))


def test_guided_unmask_does_not_learn_from_the_cycle_of_masked_faces():
    assert not depends_on_masked_faces(guided, "generator_unmask", "cycle")
    assert depends_on_masked_faces(guided, "generator_mask", "cycle")


@pytest.mark.parametrize("network", ["generator_mask", "generator_unmask"])
def test_both_generators_of_the_paper_learn_from_both_cycles(network):
    assert depends_on_masked_faces(cyclegan, network, "cycle")


def test_guided_unmask_learns_adversarially_from_faces_with_known_ground_truth_only():
    assert not depends_on_masked_faces(guided, "generator_unmask", "adversarial")
    assert gradient(guided, "generator_unmask", IMAGE, "adversarial").any()
    assert depends_on_masked_faces(cyclegan, "generator_unmask", "adversarial")


@pytest.mark.parametrize(("method", "channels"), [(guided, 4), (cyclegan, 3)])
def test_fakes_for_the_pools_have_no_gradients_and_guided_ones_their_region(method, channels):
    faces = Faces(IMAGE, CONDITIONING)
    inputs = faces, faces, *([IMAGE] if method is guided else [])
    result = method.GeneratorObjective(method.make_networks(TINY), TINY)(*inputs)
    assert result.total.requires_grad
    for fakes in result.fakes.values():
        assert fakes.shape == (2, channels, 32, 32) and not fakes.requires_grad
