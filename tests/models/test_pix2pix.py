"""Method `pix2pix`: which pairs it learns from, and what its networks see of them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from flows.cli import main
from models.methods import pix2pix
from models.methods.method import Batch, load_method
from models.training import checkpoint
from models.training.data import TrainingSet, to_faces, training_batch
from models.training.drawn_inputs import drawn_masks
from pipeline.errors import FacemaskError
from pipeline.storage.packed_arrays import read_set
from tests.models.conftest import TINY, write_checkpoint
from tests.models.test_step import IMAGE, REGION, faces, gradients

PARAMS = replace(TINY, method="pix2pix")
UNMASKED_IDS, MASKED_IDS = [None, 4, 9, None, 5], [None, 9, None, None, 4, None, None]
GREY = REGION[:, :1] * 0.3 + (1 - REGION[:, :1]) * IMAGE


def with_pairs(pairs):
    return replace(PARAMS, pix2pix=replace(PARAMS.pix2pix, pairs=pairs))


def sets_of(pack, unmasked_ids=UNMASKED_IDS, masked_ids=MASKED_IDS):
    unmasked, masked = (read_set(pack, domain, "train") for domain in ("unmasked", "masked"))
    return replace(unmasked, ffhq_ids=unmasked_ids), replace(masked, ffhq_ids=masked_ids)


def batch_of(pack, pairs, count=20):
    """Unmasked faces as training shows them, (count, H, W, 3 + 2 + 3) with their pairs; and the twins likewise."""
    params, (unmasked, masked) = with_pairs(pairs), sets_of(pack)
    method = load_method("pix2pix")
    epoch = method.epoch_indices(unmasked, masked, params)["unmasked"]
    masks = drawn_masks(unmasked, masked, [], method.drawn_inputs(params))
    batch = training_batch(TrainingSet("unmasked", unmasked, epoch, masks), 0, range(count), 32)
    twins = replace(unmasked, images=masked.images[masks.twins])
    return batch, training_batch(TrainingSet("unmasked", twins, epoch, masks), 0, range(count), 32)[..., :3]


def is_twin(pack, pairs):
    batch, twins = batch_of(pack, pairs)
    assert batch.shape[3] == 3 + 2 + 3
    return (batch[..., -3:] == twins).flatten(1).all(dim=1).tolist()


def test_true_pairs_are_both_photos_of_one_person_cropped_and_mirrored_alike(pack):
    assert all(is_twin(pack, True))


def test_rendered_pairs_are_never_photos(pack):
    assert not any(is_twin(pack, "rendered"))


def test_with_both_kinds_half_of_the_pairs_of_faces_with_a_twin_are_photos(pack):
    assert 1 <= sum(is_twin(pack, "both")) <= 8  # of 8 in four epochs of five faces


@pytest.mark.parametrize(("pairs", "shown"), [(True, [1, 2]), ("rendered", [0, 1, 2, 3, 4]), ("both", [0, 1, 2, 3, 4])])
def test_with_true_pairs_only_faces_with_a_twin_are_shown(pack, pairs, shown):
    epoch = pix2pix.epoch_indices(*sets_of(pack), with_pairs(pairs))
    assert epoch["unmasked"].tolist() == shown
    assert epoch["masked"].tolist() == list(range(7))


def test_true_pairs_are_refused_in_one_line_where_there_are_none(pack):
    with pytest.raises(FacemaskError, match=r"pix2pix.pairs is true, but no unmasked .*: set it to rendered") as caught:
        pix2pix.epoch_indices(*sets_of(pack, [None] * 5, [None] * 7), with_pairs(True))
    assert "\n" not in str(caught.value)


def test_a_batch_for_pairs_has_no_drawing(pack):
    batch, _ = batch_of(pack, "rendered", 2)
    found = to_faces(batch)
    assert found.drawing is None and found.pair is not None
    changed = (found.pair - found.images).abs().amax(dim=1) > 0.04
    assert changed.any() and not changed[:, :8].any()


def test_a_pair_in_another_frame_teaches_nothing():
    shifted = torch.cat([GREY[:1], GREY[1:].roll(5, dims=3)])
    found = pix2pix.in_one_frame(shifted, IMAGE, REGION[:, :1])
    assert torch.equal(found[0], GREY[0]) and torch.equal(found[1], IMAGE[1])


def objective(networks):
    return pix2pix.GeneratorObjective(networks, PARAMS)(faces(IMAGE), GREY, faces(IMAGE.flip(0)))


def test_both_generators_learn_from_pairs_and_only_unmask_from_real_masked_faces():
    networks = pix2pix.make_networks(PARAMS)
    terms = objective(networks).terms
    assert terms.keys() == {"adversarial", "l1", "preservation", "matte"}
    learns = {
        name: {term for term, loss in terms.items() if gradients(loss, networks[name])}
        for name in ("generator_mask", "generator_unmask")
    }
    assert learns["generator_unmask"] == terms.keys()
    assert learns["generator_mask"] == terms.keys() - {"preservation"}


def test_the_known_answer_is_the_other_picture_of_the_pair():
    networks = pix2pix.make_networks(PARAMS)
    fakes = objective(networks).fakes
    conditioning = faces(IMAGE).conditioning
    masked, unmasked = (
        networks["generator_mask"](IMAGE, conditioning)[0],
        networks["generator_unmask"](GREY, conditioning)[0],
    )
    expected = (masked - GREY).abs().mean() + (unmasked - IMAGE).abs().mean()
    assert objective(networks).terms["l1"].item() == pytest.approx(expected.item(), rel=1e-4)
    for domain, given, true in (("masked", IMAGE, GREY), ("unmasked", GREY, IMAGE)):
        assert fakes[domain].shape == (2, 10, 32, 32) and not fakes[domain].requires_grad
        assert torch.equal(fakes[domain][:, 3:6], given) and torch.equal(fakes[domain][:, 7:], true)


def test_a_discriminator_sees_true_and_painted_outputs_beside_the_same_input():
    networks, seen = pix2pix.make_networks(PARAMS), []
    fakes = objective(networks).fakes
    discriminators = pix2pix.DiscriminatorObjective(networks, PARAMS)
    discriminators.masked.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    batches = Batch(faces(IMAGE), range(2)), Batch(faces(IMAGE), range(2))
    discriminators(*pix2pix.discriminator_inputs(*batches, fakes, PARAMS))
    real, fake = seen[0][:2], seen[0][2:]
    assert torch.equal(real[:, 3:], fake[:, 3:]) and torch.equal(real[:, 3:], IMAGE)
    assert torch.equal(real[:, :3], GREY) and torch.equal(fake[:, :3], fakes["masked"][:, :3])


@pytest.mark.parametrize(("direction", "options"), [("mask", []), ("unmask", ["--unmask"])])
def test_both_directions_are_exported_without_a_drawing_and_the_card_names_the_method(direction, options):
    write_checkpoint(Path("model"), PARAMS)
    main(["export", "model", f"{direction}.onnx", *options])
    card = Path("README.md").read_text()
    assert "A pix2pix generator (" in card and "`drawing`" not in card and "- pix2pix\n" in card


def test_what_it_paints_stays_within_the_matte():
    write_checkpoint(Path("model"), PARAMS)
    generators, _ = checkpoint.load_generators(Path("model"))
    image, guide = torch.rand(1, 3, 32, 32) * 2 - 1, torch.zeros(1, 2, 32, 32)
    guide[:, 0, 20:30, 8:24] = 1
    for generator in generators.values():
        with torch.inference_mode():
            output, matte = generator(image, guide)
        assert matte[..., :8, :].max() < 0.15
        assert np.allclose((output - image)[..., :8, :].abs().max(), 0, atol=0.35)
