"""Method `fastgan`: networks, objectives, and what every command does with a model that makes new faces."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from flows.cli import main
from models.differentiable_augmentation import DRAWS, augmented
from models.evaluation import new_faces, realism
from models.evaluation.evaluate import evaluate
from models.evaluation_report import read
from models.face_networks import FaceDiscriminator, FaceGenerator, latent_vectors
from models.inference.app import make_page
from models.losses import hinge_adversarial_loss, hinge_discriminator_loss
from models.methods import fastgan
from models.methods.method import Batch
from models.params import EvaluateParams
from models.training import checkpoint
from models.training.loop import train
from models.training.state_files import FACE_STATE_FILES, FACES, is_whole_state
from pipeline.curation.rules import CurateParams
from pipeline.errors import FacemaskError
from pipeline.faces.onnx_session import open_session
from pipeline.params import load
from pipeline.paths import Paths
from pipeline.storage.packed_arrays import DOMAINS, read_set
from tests.closure import ROOT
from tests.models.conftest import TINY, write_checkpoint
from tests.models.test_step import IMAGE, faces, gradients
from tests.models.test_train import Killed, die_at, run

PARAMS = replace(TINY, method="fastgan")
MODEL = Path("model")
NEUTRAL = torch.full((2, DRAWS), 0.5)  # keeps colours and places
LATENTS = latent_vectors(0, range(2))


def generator(image_px=32):
    torch.manual_seed(0)
    return FaceGenerator(4, image_px).eval()


def objective(params=PARAMS, beside=None):
    networks = fastgan.make_networks(params)
    beside = torch.ones(2, 1, 32, 32) if beside is None else beside
    inputs = fastgan.GeneratorInputs(LATENTS, torch.cat([NEUTRAL, NEUTRAL]), beside)
    return networks, fastgan.GeneratorObjective(networks, params)(inputs)


@torch.inference_mode()
def test_one_latent_vector_gives_one_face_with_and_without_its_mask():
    network = generator()
    network.colours.bias[-1] = -200.0  # no mask anywhere
    bare = network(LATENTS)
    assert torch.equal(bare.masked, bare.unmasked)
    network.colours.bias[-1] = 200.0
    assert not torch.allclose(network(LATENTS).masked, bare.unmasked)
    assert torch.equal(network(LATENTS).unmasked, bare.unmasked)


@torch.inference_mode()
def test_other_latent_vectors_give_other_faces_whatever_else_is_in_the_batch():
    network = generator()
    both = network(LATENTS).masked
    assert not torch.allclose(both[0], both[1], atol=1e-3)
    assert torch.allclose(both[:1], network(LATENTS[:1]).masked, atol=1e-5)


@pytest.mark.parametrize(("image_px", "excited"), [(32, []), (64, ["64"]), (256, ["64", "128", "256"])])
def test_feature_maps_of_a_sixteenth_of_the_side_excite_the_large_ones(image_px, excited):
    assert list(generator(image_px).excitations) == excited


def test_a_large_feature_map_is_scaled_by_what_a_small_one_excites():
    network = generator(64)
    before = network(LATENTS).unmasked
    for weight in network.excitations.parameters():
        torch.nn.init.zeros_(weight)  # every channel is halved
    assert not torch.allclose(network(LATENTS).unmasked, before)


def test_a_discriminator_scores_an_image_as_one_of_its_class():
    network = FaceDiscriminator(4, 32).eval()
    as_unmasked, as_masked = (network(IMAGE, torch.full((2,), kind)) for kind in (0, 1))
    assert as_unmasked.shape == (2, 5, 5)
    assert not torch.allclose(as_unmasked, as_masked)


def test_a_discriminator_sees_how_alike_two_neighbours_are():
    network = FaceDiscriminator(4, 32).eval()
    classes = torch.zeros(4, dtype=torch.long)
    one, other, *_ = torch.rand(4, 3, 32, 32)
    alone, beside = (network(torch.stack([one, second, other, other]), classes) for second in (one, other))
    assert not torch.allclose(alone[0], beside[0], atol=1e-5)
    assert torch.allclose(alone[2:], beside[2:], atol=1e-6)  # pairs do not see each other
    odd = network(torch.stack([one, other, one]), classes[:3])
    assert torch.allclose(odd[2], alone[0], atol=1e-6)  # the last has no neighbour, as if it was like itself


def test_reconstruction_teaches_both_decoders_and_the_features():
    network = FaceDiscriminator(4, 32)
    _, distance = network.with_reconstruction(IMAGE, torch.zeros(2, dtype=torch.long), torch.tensor([0, 3]))
    for part in (network.whole, network.part, network.to_16, network.to_8):
        assert gradients(distance, part)


def test_a_part_is_reconstructed_from_its_own_quarter():
    network, changed = FaceDiscriminator(4, 32).eval(), IMAGE.clone()
    changed[:, :, :8, :8] = 1.0  # within the first quarter, away from its edge
    seen = []
    network.part.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    for image in (IMAGE, changed):
        for quarter in (0, 3):
            network.with_reconstruction(image, torch.zeros(2, dtype=torch.long), torch.full((2,), quarter))
    assert not torch.allclose(seen[0], seen[2])
    assert torch.allclose(seen[1], seen[3])


def test_neutral_augmentation_changes_nothing():
    assert torch.allclose(augmented(IMAGE, NEUTRAL), IMAGE, atol=1e-6)


@pytest.mark.parametrize("number", range(DRAWS))
def test_each_random_number_changes_what_the_discriminator_sees(number):
    draws = NEUTRAL.clone()
    draws[0, number] = 0.95
    one, other = augmented(IMAGE, NEUTRAL), augmented(IMAGE, draws)
    assert not torch.allclose(one[0], other[0], atol=1e-3) and torch.equal(one[1], other[1])


def test_a_moved_image_is_black_where_it_was():
    draws = NEUTRAL.clone()
    draws[:, 3] = 0.999  # as far as it goes: 4 of 32 px
    seen = augmented(IMAGE, draws)
    assert (seen[:, :, -4:] == 0).all()
    assert torch.allclose(seen[:, :, :4], IMAGE[:, :, 4:8], atol=1e-6)


def test_gradients_pass_through_the_augmentation():
    image = IMAGE.clone().requires_grad_()
    augmented(image, torch.rand(2, DRAWS)).sum().backward()
    assert image.grad.any()


def test_the_hinge_loss_stops_where_real_and_made_images_are_told_apart():
    real, fake = torch.tensor([2.0, 1.0]), torch.tensor([-3.0, -1.0])
    assert hinge_discriminator_loss(real, fake).item() == 0
    assert hinge_discriminator_loss(fake, real).item() == pytest.approx(3 + 2.5)
    assert hinge_adversarial_loss(fake).item() == 2


def test_the_generator_learns_from_all_terms_and_the_discriminator_gets_no_gradients_from_its_loss():
    networks, result = objective()
    assert result.terms.keys() == {"adversarial", "matte"}
    assert all(gradients(loss, networks["generator_faces"]) for loss in result.terms.values())
    module = fastgan.GeneratorObjective(networks, PARAMS)
    assert {id(weight) for weight in module.parameters()} == {
        id(weight) for weight in networks["generator_faces"].parameters()
    }
    assert result.fakes.keys() == set(DOMAINS) and not any(fake.requires_grad for fake in result.fakes.values())


def test_a_training_that_was_killed_ends_with_the_same_statistics_and_average(pack, monkeypatch):
    whole = run(PARAMS, "whole")
    with monkeypatch.context() as patch:
        die_at(patch, 4)
        with pytest.raises(Killed):
            run(PARAMS, "parts")
    assert run(PARAMS, "parts") == whole


def test_a_matte_costs_only_beside_real_masks():
    assert objective(beside=torch.zeros(2, 1, 32, 32))[1].terms["matte"].item() == 0
    assert objective()[1].terms["matte"].item() > 0
    batch = Batch(faces(IMAGE), range(2))
    beside = fastgan.generator_inputs(batch, batch, PARAMS)[0].beside
    region = faces(IMAGE).conditioning[:, :1]
    assert (beside * region).max() == 0 and beside.max() == 1


def test_the_discriminator_sees_real_images_before_made_ones_of_the_same_classes():
    batches = Batch(faces(IMAGE), range(2)), Batch(faces(IMAGE.flip(0)), range(2))
    fakes = {"unmasked": IMAGE * 0, "masked": IMAGE * 0 + 1}
    real, fake, draws, quarters = fastgan.discriminator_inputs(*batches, fakes, PARAMS)
    assert torch.equal(real, torch.cat([IMAGE, IMAGE.flip(0)]))
    assert torch.equal(fake, torch.cat([fakes["unmasked"], fakes["masked"]]))
    assert draws.shape == (8, DRAWS) and len({tuple(row) for row in draws.tolist()}) == 8
    assert quarters.shape == (4,)


def test_the_average_follows_the_generator_by_half_within_its_half_life():
    networks = fastgan.make_networks(PARAMS)
    average, weight = (networks[name].colours.bias for name in ("average_faces", "generator_faces"))
    with torch.no_grad():
        average.fill_(0), weight.fill_(1)
    for step in range(10):  # average_images is 20, of a batch of 2
        fastgan.after_step(networks, PARAMS, 10_000 + 2 * step)
    assert average.detach().numpy() == pytest.approx(0.5)
    assert not any(weight.requires_grad for weight in networks["average_faces"].parameters())


def test_the_average_has_the_generators_statistics_of_batch_norm():
    networks = fastgan.make_networks(PARAMS)
    networks["generator_faces"](LATENTS)  # in training: changes them
    fastgan.after_step(networks, PARAMS, 2)
    pairs = zip(networks["average_faces"].buffers(), networks["generator_faces"].buffers(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    assert networks["average_faces"].start[1].running_mean.any()


def test_early_in_training_the_average_is_young():
    networks = fastgan.make_networks(PARAMS)
    with torch.no_grad():
        networks["generator_faces"].colours.bias.fill_(1)
    fastgan.after_step(networks, PARAMS, 2)
    assert networks["average_faces"].colours.bias.detach().numpy() == pytest.approx(1, abs=1e-4)


def test_training_changes_the_generator_its_average_and_the_discriminator(pack):
    train(PARAMS, Paths())
    fresh = fastgan.make_networks(PARAMS)
    for name in FACES:
        trained = load_file(f"checkpoints/{name}.safetensors")
        same = [key for key, value in fresh[name].state_dict().items() if torch.equal(value, trained[key])]
        assert all("norm" in key or value.dim() < 2 for key in same for value in [trained[key]]), same
    average, weights = (load_file(f"checkpoints/{name}_faces.safetensors") for name in ("average", "generator"))
    assert not torch.equal(average["start.0.weight"], weights["start.0.weight"])


def test_an_image_size_that_is_no_power_of_two_is_refused():
    with pytest.raises(FacemaskError, match=r"train\.image_px is 48: method fastgan needs a power of two"):
        fastgan.make_networks(replace(PARAMS, image_px=48))


def test_its_checkpoint_has_its_own_files_and_no_direction():
    write_checkpoint(MODEL, PARAMS)
    names = {path.name for path in MODEL.iterdir()}
    assert names == FACE_STATE_FILES and is_whole_state(names)
    assert not any(is_whole_state(names - {f"{name}.safetensors"}) for name in FACES)
    assert checkpoint.directions(checkpoint.read_info(MODEL)) == ()


def test_a_training_with_another_image_size_does_not_start_from_it():
    write_checkpoint(MODEL, PARAMS)
    info = checkpoint.read_info(MODEL)
    assert checkpoint.other_networks(info, PARAMS) == ""
    assert checkpoint.other_networks(info, replace(PARAMS, image_px=64)) == "image_px 32 instead of 64"


@pytest.mark.parametrize(
    "arguments",
    [
        ["apply", "model", "photo.png", "--out", "o"],
        ["apply", "model", "photo.png", "--out", "o", "--unmask"],
        ["export", "model", "o/unmask.onnx", "--unmask"],
        ["app", "model"],
    ],
)
def test_what_changes_photos_names_the_command_that_makes_faces(arguments):
    write_checkpoint(MODEL, PARAMS)
    Path("photo.png").write_bytes(b"")
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    message = str(ended.value)
    assert "method fastgan) makes new faces and changes no photos: run 'facemask sample model --out DIR'" in message
    assert "\n" not in message and not Path("o").exists()


def test_a_page_for_it_is_refused():
    write_checkpoint(MODEL, PARAMS)
    with pytest.raises(FacemaskError, match="makes new faces"):
        make_page(MODEL, Path("scratch"))


def test_its_export_takes_latent_vectors_and_gives_both_faces():
    write_checkpoint(MODEL, PARAMS)
    main(["export", "model", "exports/faces.onnx"])
    session, network = open_session(Path("exports/faces.onnx")), checkpoint.load_face_generator(MODEL)[0]
    with torch.inference_mode():
        expected = network(latent_vectors(7, range(5)))
    outputs = session.run(["unmasked", "masked", "matte"], {"latent": latent_vectors(7, range(5)).numpy()})
    for one, other in zip(expected, outputs, strict=True):
        np.testing.assert_allclose(one.numpy(), other, atol=1e-3)
    card = Path("exports/README.md").read_text()
    assert "A FastGAN generator (" in card and "`latent`, float32 (B, 256)" in card and "- fastgan\n" in card
    assert "pipeline_tag: unconditional-image-generation" in card and "image-to-image" not in card


@pytest.fixture
def evaluated(pack, monkeypatch):
    """Evaluates a trained model without landmarks; returns a function that gives what is written."""
    train(PARAMS, Paths())
    limits = load("curate", CurateParams, ROOT / "params.yaml")
    monkeypatch.setattr(new_faces, "acceptance_rate", lambda *_: 0.5)
    monkeypatch.setattr(new_faces, "face_landmarks", lambda images, _: [None, *[pack_landmarks()] * (len(images) - 1)])

    def run():
        evaluate(EvaluateParams(images=10, batch_size=2, grid_faces=2), limits, None, Paths())
        return json.loads(Paths().evaluation.read_text())

    return run


def pack_landmarks():
    return read_set(Path("data/train"), "unmasked", "train").landmarks[0]


def test_evaluation_measures_the_new_faces_of_both_classes(evaluated, monkeypatch):
    passed = []
    monkeypatch.setattr(realism, "kid", lambda fakes, reals: passed.append((fakes.shape, reals.shape)) or 0.25)
    values = evaluated()
    assert "mask" not in values and "unmask" not in values
    assert passed == [((3, 32, 32, 3), (3, 32, 32, 3)), ((3, 32, 32, 3), (2, 32, 32, 3))]
    assert values["new_unmasked"] == {"images": 3, "face_found": 0.6667, "copies": 0.0, "kid": 0.25}
    assert values["new_masked"] == {"images": 3, "accepted": 0.5, "face_found": 0.6667, "copies": 0.0, "kid": 0.25}
    assert read(Paths().evaluation).makes_faces
    assert {path.name for path in Paths().samples.iterdir()} == {"new_faces.png"}


def test_a_training_face_among_the_new_ones_is_counted_as_a_copy(evaluated, monkeypatch):
    packed = read_set(Path("data/train"), "masked", "train")
    planted = np.stack([packed.images[1, 2:34, 2:34], *new_faces.make_faces(*made_from(), range(2))[0]])
    monkeypatch.setattr(new_faces, "make_faces", lambda *_: (planted, planted))
    monkeypatch.setattr(new_faces, "face_landmarks", lambda images, _: [cropped(packed.landmarks[1])] * len(images))
    values = evaluated()
    assert values["new_unmasked"]["copies"] == values["new_masked"]["copies"] == 0.3333


def made_from():
    return checkpoint.load_face_generator(Path("checkpoints"))[0], 0


def cropped(landmarks):
    """Landmarks of an image of 36 px after a crop of 2 px at each side."""
    return (landmarks * 36 - 2) / 32
