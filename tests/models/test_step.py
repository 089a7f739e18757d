"""What the generators learn from which picture."""

from dataclasses import replace

import pytest
import torch

from models.checkpoint import make_networks
from models.step import GeneratorObjective
from tests.models.conftest import TINY


def learned_of_the_cycle(kind, network, masked):
    """The cycle loss's gradient for one generator's weights, with given masked faces and the same plain ones."""
    params = replace(TINY, generator=kind)
    networks = make_networks(params)
    rng = torch.Generator().manual_seed(0)
    plain, guides = torch.rand(2, 3, 32, 32, generator=rng), torch.ones(2, 2, 32, 32)
    terms = GeneratorObjective(networks, params)(plain, guides, masked, guides, plain)
    weight = next(networks[network].parameters())
    return torch.autograd.grad(terms["cycle"], weight)[0]


def test_nothing_of_a_mask_is_written_onto_the_face_for_the_way_back():
    one, other = torch.zeros(2, 3, 32, 32), torch.rand(2, 3, 32, 32)
    of_f = [learned_of_the_cycle("guided", "generator_unmask", masked) for masked in (one, other)]
    of_g = [learned_of_the_cycle("guided", "generator_mask", masked) for masked in (one, other)]
    assert torch.equal(*of_f)
    assert not torch.equal(*of_g)


@pytest.mark.parametrize("network", ["generator_mask", "generator_unmask"])
def test_the_papers_generators_both_learn_from_both_cycles(network):
    one, other = torch.zeros(2, 3, 32, 32), torch.rand(2, 3, 32, 32)
    assert not torch.equal(*(learned_of_the_cycle("resnet", network, masked) for masked in (one, other)))
