"""An exported generator and its model card, read back by ONNX Runtime, onnx and PyYAML."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import yaml

from flows.cli import main
from models import registry
from models.evaluation_report import DirectionMetrics, Evaluation
from models.export import model_card
from models.export import onnx_export as export
from models.methods.method import METHODS
from models.networks import make_generator
from models.training.checkpoint import load_generators
from models.training.loop import train
from pipeline.faces.onnx_session import open_session
from pipeline.paths import Paths
from pipeline.storage.files import sha256

OUT = Path("exports/mask.onnx")


@pytest.fixture
def trained(pack, tiny):
    train(tiny, Paths())
    return Path("checkpoints")


def run(*arguments):
    main(["export", *map(str, arguments)])


def header_and_text(path):
    _, header, text = path.read_text().split("---\n", 2)
    return yaml.safe_load(header), text


@pytest.mark.parametrize(("direction", "options"), [("mask", []), ("unmask", ["--unmask"])])
def test_onnx_runtime_equals_pytorch_for_any_number_of_faces(trained, direction, options):
    run(trained, OUT, *options)
    generator = load_generators(trained)[0][f"generator_{direction}"]
    session = open_session(OUT)
    for faces in (1, 5):
        inputs = {"image": torch.rand(faces, 3, 32, 32) * 2 - 1, "guide": (torch.rand(faces, 2, 32, 32) > 0.5).float()}
        if len(session.get_inputs()) == 3:
            inputs["drawing"] = torch.rand(faces, session.get_inputs()[2].shape[1], 32, 32)
        with torch.inference_mode():
            expected = generator(**inputs)
        outputs = session.run(["painted", "matte"], {name: value.numpy() for name, value in inputs.items()})
        for a, b in zip(expected, outputs, strict=True):
            np.testing.assert_allclose(a.numpy(), b, atol=1e-3)


@pytest.mark.parametrize("tiny", ["guided"], indirect=True)
@pytest.mark.parametrize(("options", "channels"), [([], 5), (["--unmask"], 4)])
def test_both_guided_generators_take_their_drawing_and_the_card_says_so(trained, options, channels):
    run(trained, OUT, *options)
    assert [entry.name for entry in open_session(OUT).get_inputs()] == ["image", "guide", "drawing"]
    card = OUT.with_name("README.md").read_text()
    assert f"`drawing`, float32 (B, {channels}, 32, 32)" in card
    assert f"`drawing`, float32 (B, {9 - channels}, 32, 32)" not in card


@pytest.mark.parametrize("tiny", ["cyclegan"], indirect=True)
@pytest.mark.parametrize("options", [[], ["--unmask"]])
def test_the_papers_generators_take_no_drawing(trained, options):
    run(trained, OUT, *options)
    assert [entry.name for entry in open_session(OUT).get_inputs()] == ["image", "guide"]
    assert "`drawing`" not in OUT.with_name("README.md").read_text()


@pytest.mark.parametrize("side", [36, 96])
@pytest.mark.parametrize("direction", ["mask", "unmask"])
def test_a_generator_of_any_image_size_is_exported(side, direction, tmp_path):
    """The grid of 8 x 8 cells of the one that puts masks on need not divide the size."""
    generator = with_effect(make_generator("guided", direction, 8, 1)).eval()
    interface = export.interface_of(generator, side)
    export._write(generator, interface, tmp_path / "made.onnx")
    assert export._difference(generator, interface, tmp_path / "made.onnx") <= export.TOLERANCE
    example = interface.example(1)
    with torch.inference_mode():
        untrained = make_generator("guided", direction, 8, 1)(*example)[0]
        assert (generator(*example)[0] - untrained).abs().max() > 0.02


def with_effect(generator):
    """The generator with random weights in its last layers, which are 0 before training."""
    torch.manual_seed(0)
    last = [generator.coarse[-1], generator.fine[-1]] if hasattr(generator, "fine") else [generator.layers[-1]]
    for head in last:
        torch.nn.init.normal_(head.weight, 0, 0.5)
    return generator


def test_the_file_is_valid_and_names_its_checkpoint_and_licence(trained):
    run(trained, OUT)
    model = onnx.load(OUT)
    onnx.checker.check_model(model, full_check=True)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert metadata["checkpoint"] == sha256(trained / "checkpoint.json")
    assert "CC BY-NC-SA 4.0" in metadata["data_licence"]
    assert {entry.version for entry in model.opset_import if entry.domain == ""} == {export.OPSET}


def test_an_export_that_differs_from_pytorch_is_not_written(trained, monkeypatch):
    monkeypatch.setattr(export, "_difference", lambda *_: 0.01)
    with pytest.raises(SystemExit, match=r"differ from PyTorch's by 0\.01"):
        run(trained, OUT)
    assert list(OUT.parent.iterdir()) == []


def test_the_card_has_a_name_for_each_method():
    assert model_card._METHODS.keys() == METHODS.keys()


def test_the_card_has_the_header_that_hugging_face_reads(trained):
    run(trained, OUT)
    header, text = header_and_text(OUT.with_name("README.md"))
    assert header["pipeline_tag"] == "image-to-image"
    assert header["license"] == "cc-by-nc-sa-4.0"
    assert "12 images a domain at 32 px" in text
    assert "None are known here" in text


def test_the_card_has_the_metrics_of_this_checkpoint_only(trained):
    metrics = {"images": 38, "accepted": 0.97368, "psnr_outside_db": 85.1, "kid": 0.0512}
    digest = sha256(trained / "checkpoint.json")
    Path("reports").mkdir(exist_ok=True)
    Path("reports/evaluation.json").write_text(json.dumps({"checkpoint": digest[:12], "mask": metrics}))
    run(trained, OUT)
    assert "| images | 38 |" in OUT.with_name("README.md").read_text()
    assert "| accepted | 0.9737 |" in OUT.with_name("README.md").read_text()
    Path("reports/evaluation.json").write_text(json.dumps({"checkpoint": "another", "mask": metrics}))
    run(trained, OUT)
    assert "accepted" not in OUT.with_name("README.md").read_text()


def test_the_card_has_the_metrics_from_the_registry(trained):
    model = registry.Model(
        "v1",
        "2026-11-23T00:00:00Z",
        sha256(trained / "checkpoint.json"),
        None,
        12,
        "d",
        {},
        "b",
        Evaluation(mask=DirectionMetrics(kid=0.25)),
        "first",
    )
    registry.write(registry.Registry("v1", (model,)))
    run(trained, OUT)
    assert "| kid | 0.25 |" in OUT.with_name("README.md").read_text()


def test_another_readme_is_not_overwritten(trained):
    OUT.parent.mkdir()
    OUT.with_name("README.md").write_text("# my project\n")
    with pytest.raises(SystemExit, match=r"is not the model card of mask\.onnx"):
        run(trained, OUT)
    assert OUT.with_name("README.md").read_text() == "# my project\n"
    assert not OUT.exists()


def test_the_file_name_must_end_in_onnx(trained):
    with pytest.raises(SystemExit, match=r"does not end in \.onnx"):
        run(trained, "exports/mask.pt")
