"""Method `simgan`: a refiner of drawn masks, and a model that only puts masks on."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from flows.cli import main
from models.evaluation import evaluate as evaluate_module
from models.evaluation import realism
from models.evaluation.evaluate import evaluate
from models.inference.apply import make_task
from models.methods import simgan
from models.methods.method import Batch, TrainedHalves
from models.params import EvaluateParams
from models.training import checkpoint, drawn_inputs
from models.training.loop import train
from models.training.state_files import STATE_FILES, UNMASK_FILES, is_whole_state
from pipeline.errors import FacemaskError
from pipeline.paths import Paths
from tests.models.conftest import TINY, train_in, write_checkpoint
from tests.models.test_step import IMAGE, faces, gradients, trained_a_little
from tests.models.test_train import Killed, die_at, files_of, run

PARAMS = replace(TINY, method="simgan")
MODEL = Path("model")


def phases(refiner, discriminator):
    return replace(PARAMS, simgan=replace(PARAMS.simgan, refiner_images=refiner, discriminator_images=discriminator))


def test_the_refiner_learns_alone_then_the_discriminator_alone_then_both():
    params = phases(6, 4)
    assert [simgan.trained_halves(params, seen) for seen in (0, 5, 6, 9, 10, 99)] == [
        *[TrainedHalves(generators=True, discriminators=False)] * 2,
        *[TrainedHalves(generators=False, discriminators=True)] * 2,
        *[TrainedHalves(generators=True, discriminators=True)] * 2,
    ]


@pytest.mark.parametrize(
    ("params", "changed"),
    [(phases(0, 12), {"discriminator_masked"}), (phases(0, 4), {"generator_mask", "discriminator_masked"})],
)
def test_a_network_whose_turn_it_is_not_does_not_change(pack, params, changed):
    train_in("out", params)
    fresh = simgan.make_networks(params)
    weights = {name: load_file(f"out/checkpoints/{name}.safetensors") for name in fresh}
    found = {
        name
        for name, network in fresh.items()
        if any(not torch.equal(value, weights[name][key]) for key, value in network.state_dict().items())
    }
    assert found == changed


def test_while_the_refiner_learns_alone_the_discriminator_does_not_change(pack):
    params = phases(12, 0)
    train_in("out", params)
    trained = load_file("out/checkpoints/discriminator_masked.safetensors")
    fresh = simgan.make_networks(params)["discriminator_masked"].state_dict()
    assert all(torch.equal(value, trained[key]) for key, value in fresh.items())


@pytest.mark.parametrize("step", [2, 4, 6])
def test_resumed_training_equals_uninterrupted_in_any_phase(pack, monkeypatch, step):
    params = replace(phases(4, 4), save_every_images=2)
    whole = run(params, "whole")
    with monkeypatch.context() as patch:
        die_at(patch, step)
        with pytest.raises(Killed):
            run(params, "parts")
    assert run(params, "parts") == whole


def test_the_discriminator_scores_local_patches():
    discriminator = simgan.make_networks(PARAMS)["discriminator_masked"]
    for layer in list(discriminator.modules()):
        if isinstance(layer, torch.nn.InstanceNorm2d):  # its statistics are of the whole image
            layer.forward = lambda features: features
    image = torch.randn(1, 3, 256, 256, requires_grad=True)
    scores = discriminator(image)
    scores[0, 0, scores.shape[2] // 2, scores.shape[3] // 2].backward()
    assert int((image.grad.abs().sum(dim=(0, 1)) > 0).any(dim=1).sum()) == 16


def objective(adversarial):
    networks = trained_a_little(simgan.make_networks(PARAMS))
    result = simgan.GeneratorObjective(networks, PARAMS)(faces(IMAGE), torch.tensor(adversarial))
    return networks, result


def test_the_discriminator_does_not_count_while_the_refiner_learns_alone():
    networks, result = objective(0.0)
    weights = list(networks["generator_mask"].parameters())
    total, drawing = (torch.autograd.grad(loss, weights, retain_graph=True, allow_unused=True) for loss in
                      (result.total, PARAMS.simgan.lambda_drawing * result.terms["drawing"]))  # fmt: skip
    assert all(torch.allclose(one, other) for one, other in zip(total, drawing, strict=True) if other is not None)
    networks, result = objective(1.0)
    assert not torch.allclose(result.total, PARAMS.simgan.lambda_drawing * result.terms["drawing"])


@pytest.mark.parametrize(("positions", "counts"), [(range(1), 0.0), (range(1, 2), 0.0), (range(2, 3), 1.0)])
def test_all_processes_agree_from_which_batch_on_the_discriminator_counts(positions, counts):
    """Of two processes each has one image of a batch of two; the refiner alone learns from one image."""
    _, found = simgan.generator_inputs(Batch(faces(IMAGE), positions), Batch(faces(IMAGE), positions), phases(1, 0))
    assert found.item() == counts


def test_the_refiner_learns_from_both_terms_and_starts_as_the_drawing():
    networks, result = objective(1.0)
    assert result.terms.keys() == {"adversarial", "drawing"}
    assert all(gradients(loss, networks["generator_mask"]) for loss in result.terms.values())
    fresh = simgan.GeneratorObjective(simgan.make_networks(PARAMS), PARAMS)(faces(IMAGE), torch.tensor(1.0))
    assert fresh.terms["drawing"].item() == pytest.approx(0, abs=1e-6)


def test_fakes_have_the_region_and_no_gradients():
    _, result = objective(1.0)
    assert result.fakes.keys() == {"masked"}
    assert result.fakes["masked"].shape == (2, 4, 32, 32) and not result.fakes["masked"].requires_grad


def test_evaluation_measures_the_direction_that_the_model_has(pack, monkeypatch, capsys):
    train(PARAMS, Paths())
    monkeypatch.setattr(evaluate_module, "acceptance_rate", lambda *_: 0.5)
    passed = []
    monkeypatch.setattr(realism, "kid", lambda fakes, reals: passed.append((len(fakes), len(reals))) or 0.25)
    evaluate(EvaluateParams(images=10, batch_size=2, grid_faces=2), None, None, Paths())
    values = json.loads(Paths().evaluation.read_text())
    assert values["unmask"] == {}
    assert values["mask"]["accepted"] == 0.5 and values["mask"]["images"] == 3
    assert "psnr_cycle_db" not in values["mask"]
    assert passed == [(3, 2)]  # real masked test faces, although the model translates none
    assert "unmask: not measured, the model has no such generator" in capsys.readouterr().out


def test_evaluation_draws_no_bare_faces_which_no_generator_would_correct(pack, monkeypatch):
    write_checkpoint(MODEL, PARAMS)
    monkeypatch.setattr(evaluate_module, "acceptance_rate", lambda *_: 0.5)
    monkeypatch.setattr(drawn_inputs, "draw_bare", lambda *_: pytest.fail("drawn"))
    params = EvaluateParams(images=10, batch_size=2, grid_faces=2)
    evaluation, _ = evaluate_module.evaluate_checkpoint(MODEL, params, None, None, pack)
    assert evaluation.mask.images == 3


def test_a_model_that_only_puts_masks_on_has_one_generator():
    write_checkpoint(MODEL, PARAMS)
    generators, info = checkpoint.load_generators(MODEL)
    assert generators.keys() == {"generator_mask"}
    assert checkpoint.directions(info) == ("mask",)


@pytest.mark.parametrize(
    "arguments",
    [["export", "model", "unmask.onnx", "--unmask"], ["apply", "model", "photo.png", "--out", "o", "--unmask"]],
)
def test_taking_masks_off_with_it_is_refused_in_one_line(arguments, tmp_path):
    write_checkpoint(MODEL, PARAMS)
    Path("photo.png").write_bytes(b"")
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    message = str(ended.value)
    assert "the model in model (method simgan) only puts masks on: name another one" in message and "\n" not in message
    assert not Path("o").exists() and not Path("unmask.onnx").exists()


def test_the_page_refuses_to_take_masks_off_with_it():
    write_checkpoint(MODEL, PARAMS)
    with pytest.raises(FacemaskError, match="only puts masks on"):
        make_task(MODEL, "unmask")
    make_task(MODEL, "mask")


def test_its_export_takes_a_drawing_and_the_card_names_the_method():
    write_checkpoint(MODEL, PARAMS)
    main(["export", "model", "exports/mask.onnx"])
    card = Path("exports/README.md").read_text()
    assert "A SimGAN refiner (" in card and "`drawing`, float32" in card and "- simgan\n" in card


def test_a_state_without_the_weights_of_taking_masks_off_is_whole_and_one_with_half_of_them_is_not(pack):
    train_in("out", PARAMS)
    assert {Path(name).name for name in files_of("out/checkpoints")} - {"masks.npy"} == STATE_FILES - UNMASK_FILES
    assert is_whole_state(STATE_FILES - UNMASK_FILES)
    for name in UNMASK_FILES:
        assert not is_whole_state(STATE_FILES - {name})
