"""The objectives of both methods: which network learns from which images."""

import pytest
import torch

from models.methods import cyclegan, guided
from models.methods.method import Batch, Faces
from tests.models.conftest import TINY

IMAGE = torch.rand(2, 3, 32, 32) * 2 - 1
REGION = torch.zeros(2, 2, 32, 32)
REGION[:, 0, 16:28, 8:24] = 1
ALPHA = torch.nn.functional.avg_pool2d(REGION[:, :1], 3, stride=1, padding=1)
DRAWING = torch.cat([0.4 * ALPHA.expand(2, 3, 32, 32), ALPHA, torch.zeros_like(ALPHA)], dim=1)
NOT_CORRECTED = torch.zeros(2, 1, 1, 1)


def faces(images, pair=None):
    """Faces with a drawn mask, and with a grey face drawn where it is."""
    bare = torch.cat([torch.where(REGION[:, :1] > 0, 0.5, (images + 1) / 2), REGION[:, :1]], dim=1)
    return Faces(images, REGION, DRAWING, pair, bare)


def batch_of(one, times):
    """A batch with these faces, `times` times."""
    parts = (None if part is None else torch.cat([part] * times) for part in one)
    return Batch(Faces(*parts), range(times * len(one.images)))


def objective_inputs(method, unmasked, masked, corrected=NOT_CORRECTED):
    """The arguments of a method's generator objective; pairs are the faces with a grey mask."""
    grey = REGION[:, :1] * 0.3 + (1 - REGION[:, :1]) * unmasked
    return faces(unmasked), faces(masked), *([grey, corrected] if method is guided else [])


def result_of(method, networks, unmasked, masked, corrected=NOT_CORRECTED):
    return method.GeneratorObjective(networks, TINY)(*objective_inputs(method, unmasked, masked, corrected))


def gradients(loss, network):
    """The gradients of a loss for a network's weights that it depends on."""
    found = torch.autograd.grad(loss, list(network.parameters()), retain_graph=True, allow_unused=True)
    return [gradient for gradient in found if gradient is not None and gradient.any()]


G_LEARNS_FROM = {"adversarial", "drawing", "light"}
F_LEARNS_FROM = {"cycle", "texture", "features", "preservation"}


def trained_a_little(networks):
    """Generators that correct, with random weights in the last layers: at zero weights the others have no gradient."""
    heads = [networks["generator_mask"].coarse[-1], networks["generator_mask"].fine[-1]]
    if "generator_unmask" in networks:
        heads.append(networks["generator_unmask"].layers[-1])
    for head in heads:
        torch.nn.init.normal_(head.weight, 0, 0.1)
    return networks


@pytest.mark.parametrize("corrected", [0.0, 1.0])
def test_no_guided_generator_learns_from_the_losses_of_the_other(corrected):
    networks = trained_a_little(guided.make_networks(TINY))
    result = result_of(guided, networks, IMAGE, IMAGE.flip(0), torch.full((2, 1, 1, 1), corrected))
    assert result.terms.keys() == G_LEARNS_FROM | F_LEARNS_FROM
    for name, learns_from in (("generator_mask", G_LEARNS_FROM), ("generator_unmask", F_LEARNS_FROM)):
        assert {term for term, loss in result.terms.items() if gradients(loss, networks[name])} == learns_from


@pytest.mark.parametrize("corrected", [0.0, 1.0])
def test_a_corrected_drawing_takes_the_place_of_the_pair_where_it_should(corrected):
    networks = guided.make_networks(TINY)
    inputs = objective_inputs(guided, IMAGE, IMAGE.flip(0), torch.full((2, 1, 1, 1), corrected))
    fakes = guided.GeneratorObjective(networks, TINY)(*inputs).fakes
    expected = fakes["masked"][:, :3] if corrected else inputs[2]
    assert torch.equal(fakes["unmasked"][:, 3:6], expected)


def test_the_true_and_the_painted_face_stand_beside_the_same_input_for_the_discriminator():
    networks = guided.make_networks(TINY)
    inputs = objective_inputs(guided, IMAGE, IMAGE.flip(0))
    fakes = guided.GeneratorObjective(networks, TINY)(*inputs).fakes
    batches = Batch(inputs[0], range(2)), Batch(inputs[1], range(2))
    old = {domain: fake.flip(0) for domain, fake in fakes.items()}  # as the pool returns fakes of other steps
    _, _, real, fake = guided.discriminator_inputs(*batches, old, TINY)
    assert torch.equal(real[:, 3:], fake[:, 3:])  # the input, and the area that counts
    assert torch.equal(real[:, :3], IMAGE.flip(0)) and torch.equal(fake[:, 3:6], inputs[2].flip(0))
    changed = (inputs[2] - IMAGE).abs().amax(dim=1, keepdim=True) > 0.1
    assert fake[:, 6:].flip(0)[changed].all() and not fake[:, 6:, :12].any()


def test_half_of_the_pairs_are_relit_and_both_images_and_the_bare_face_alike():
    same = faces(IMAGE, IMAGE)
    same = same._replace(bare=torch.cat([(IMAGE + 1) / 2, same.bare[:, 3:]], dim=1))
    unmasked, _, pairs, _ = guided.generator_inputs(batch_of(same, 8), batch_of(faces(IMAGE.flip(0)), 8), TINY)
    assert torch.equal(unmasked.images, pairs)
    assert torch.allclose(2 * unmasked.bare[:, :3] - 1, pairs, atol=1e-6)
    assert torch.equal(unmasked.bare[:, 3:], torch.cat([same.bare[:, 3:]] * 8))
    changed = [not torch.allclose(found, IMAGE[place % 2], atol=1e-5) for place, found in enumerate(unmasked.images)]
    assert 3 < sum(changed) < 13


def test_every_fourth_pair_is_corrected():
    batches = batch_of(faces(IMAGE, IMAGE), 4), batch_of(faces(IMAGE.flip(0)), 4)
    *_, corrected = guided.generator_inputs(*batches, TINY)
    assert corrected.flatten().tolist() == [1, 0, 0, 0] * 2
    assert corrected.shape == (8, 1, 1, 1)


@pytest.mark.parametrize(("direction", "expected"), [("mask", DRAWING), ("unmask", faces(IMAGE).bare)])
def test_what_a_generator_corrects_is_the_drawn_mask_or_the_drawn_bare_face(direction, expected):
    assert torch.equal(faces(IMAGE).drawing_for(direction), expected)


def test_faces_without_a_bare_face_give_nothing_to_correct_in_its_direction():
    assert faces(IMAGE)._replace(bare=None).drawing_for("unmask") is None


def test_an_untrained_guided_unmask_gives_the_bare_face_of_the_pair_as_its_answer():
    inputs = objective_inputs(guided, IMAGE, IMAGE.flip(0))
    fakes = guided.GeneratorObjective(guided.make_networks(TINY), TINY)(*inputs).fakes
    assert torch.equal(fakes["unmasked"][:, :3], 2 * inputs[0].bare[:, :3] - 1)


def gradient(method, network, masked, term):
    """The gradient of one loss for one generator's first weights, with these masked faces and fixed unmasked ones."""
    networks = method.make_networks(TINY)
    if method is guided:
        trained_a_little(networks)
    unmasked = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    result = result_of(method, networks, unmasked, masked)
    return torch.autograd.grad(result.terms[term], next(networks[network].parameters()))[0]


def depends_on_masked_faces(method, network, term):
    return not torch.equal(*(gradient(method, network, masked, term) for masked in (torch.zeros_like(IMAGE), IMAGE)))


@pytest.mark.parametrize("term", ["cycle", "texture", "features"])
def test_guided_unmask_learns_from_faces_with_known_ground_truth_only(term):
    assert not depends_on_masked_faces(guided, "generator_unmask", term)
    assert gradient(guided, "generator_unmask", IMAGE, term).any()


@pytest.mark.parametrize("network", ["generator_mask", "generator_unmask"])
def test_both_generators_of_the_paper_learn_from_both_cycles(network):
    assert depends_on_masked_faces(cyclegan, network, "cycle")


@pytest.mark.parametrize(("method", "channels"), [(guided, (4, 10)), (cyclegan, (3, 3))])
def test_fakes_for_the_pools_have_no_gradients_and_guided_ones_their_areas(method, channels):
    result = result_of(method, method.make_networks(TINY), IMAGE, IMAGE)
    assert result.total.requires_grad
    for (name, fakes), count in zip(result.fakes.items(), channels, strict=True):
        assert fakes.shape == (2, count, 32, 32) and not fakes.requires_grad, name
