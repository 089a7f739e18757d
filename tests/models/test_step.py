"""What the generators learn from which picture."""

from dataclasses import replace

import pytest
import torch

from models.training.checkpoint import make_networks
from models.training.step import GeneratorObjective
from tests.models.conftest import TINY


class Heard(torch.nn.Module):
    """A generator, and the hints that it was given."""

    def __init__(self, generator):
        super().__init__()
        self.generator, self.hints = generator, []

    def forward(self, image, guide, hint=None):
        self.hints.append(hint)
        return self.generator(image, guide, hint)


@pytest.mark.parametrize(("network", "channels"), [("generator_mask", 4), ("generator_unmask", 1)])
def test_hints_are_given_on_the_way_back_alone(network, channels):
    params = replace(TINY, generator="guided")
    networks = make_networks(params)
    networks[network] = Heard(networks[network])
    image, guide = torch.rand(2, 3, 32, 32), torch.ones(2, 2, 32, 32)
    GeneratorObjective(networks, params)(image, guide, image, guide, image)
    there, back = networks[network].hints
    assert there is None
    assert back.shape == (2, channels, 32, 32) and back.any()


def learned(kind, network, masked, term="cycle"):
    """One loss's gradient for one generator's weights, with given masked faces and always the same plain ones."""
    params = replace(TINY, generator=kind)
    networks = make_networks(params)
    rng = torch.Generator().manual_seed(0)
    plain, guides = torch.rand(2, 3, 32, 32, generator=rng), torch.ones(2, 2, 32, 32)
    terms = GeneratorObjective(networks, params)(plain, guides, masked, guides, plain)
    weight = next(networks[network].parameters())
    return torch.autograd.grad(terms[term], weight)[0]


def test_nothing_of_a_mask_is_written_onto_the_face_for_the_way_back():
    one, other = torch.zeros(2, 3, 32, 32), torch.rand(2, 3, 32, 32)
    of_f = [learned("guided", "generator_unmask", masked) for masked in (one, other)]
    of_g = [learned("guided", "generator_mask", masked) for masked in (one, other)]
    assert torch.equal(*of_f)
    assert not torch.equal(*of_g)


@pytest.mark.parametrize("network", ["generator_mask", "generator_unmask"])
def test_the_papers_generators_both_learn_from_both_cycles(network):
    one, other = torch.zeros(2, 3, 32, 32), torch.rand(2, 3, 32, 32)
    assert not torch.equal(*(learned("resnet", network, masked) for masked in (one, other)))


def test_the_judge_of_plain_faces_teaches_guided_ones_by_faces_whose_answer_is_known():
    one, other = torch.zeros(2, 3, 32, 32), torch.rand(2, 3, 32, 32)
    guided, papers = (
        [learned(kind, "generator_unmask", masked, "adversarial") for masked in (one, other)]
        for kind in ("guided", "resnet")
    )
    assert torch.equal(*guided)
    assert guided[0].any()
    assert not torch.equal(*papers)
