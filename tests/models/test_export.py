"""A generator as ONNX, and its card: read back by the libraries that others use."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import yaml

from flows.cli import main
from models import registry
from models.export import onnx_export as export
from models.training.checkpoint import load_generators
from models.training.loop import train
from pipeline.faces.onnx_session import open_session
from pipeline.storage.files import sha256

OUT = Path("exports/mask.onnx")


@pytest.fixture
def made(pack, tiny):
    train(tiny, pack, Path("checkpoints"), Path("training"))
    return Path("checkpoints")


def run(*arguments):
    main(["export", *map(str, arguments)])


def head_and_text(path):
    _, head, text = path.read_text().split("---\n", 2)
    return yaml.safe_load(head), text


@pytest.mark.parametrize(("direction", "options"), [("mask", []), ("unmask", ["--unmask"])])
def test_onnx_runtime_gives_what_pytorch_gives_for_any_number_of_faces(made, direction, options):
    run(made, OUT, *options)
    generator = load_generators(made)[0][f"generator_{direction}"]
    session = open_session(OUT)
    for faces in (1, 5):
        images, guides = torch.rand(faces, 3, 32, 32) * 2 - 1, (torch.rand(faces, 2, 32, 32) > 0.5).float()
        with torch.inference_mode():
            wanted = generator(images, guides)
        given = session.run(["painted", "matte"], {"image": images.numpy(), "guide": guides.numpy()})
        for one, other in zip(wanted, given, strict=True):
            np.testing.assert_allclose(one.numpy(), other, atol=1e-3)


def test_the_file_is_sound_and_says_what_it_is_made_from(made):
    run(made, OUT)
    model = onnx.load(OUT)
    onnx.checker.check_model(model, full_check=True)
    facts = {fact.key: fact.value for fact in model.metadata_props}
    assert facts["checkpoint"] == sha256(made / "checkpoint.json")
    assert "CC BY-NC-SA 4.0" in facts["data_licence"]
    assert {entry.version for entry in model.opset_import if entry.domain == ""} == {export.OPSET}


def test_an_export_that_gives_other_values_is_not_written(made, monkeypatch):
    monkeypatch.setattr(export, "_difference", lambda *_: 0.01)
    with pytest.raises(SystemExit, match="ONNX Runtime gives other values than PyTorch"):
        run(made, OUT)
    assert list(OUT.parent.iterdir()) == []


def test_the_card_has_the_head_that_hugging_face_reads(made):
    run(made, OUT)
    head, text = head_and_text(OUT.with_name("README.md"))
    assert head["pipeline_tag"] == "image-to-image"
    assert head["license"] == "cc-by-nc-sa-4.0"
    assert "12 images a domain at 32 px" in text
    assert "None are known here" in text


def test_the_card_has_the_figures_of_this_very_checkpoint(made):
    figures = {"images": 38, "accepted": 0.97368, "psnr_outside_db": 85.1, "kid": 0.0512}
    digest = sha256(made / "checkpoint.json")
    Path("reports").mkdir(exist_ok=True)
    Path("reports/evaluation.json").write_text(json.dumps({"checkpoint": digest[:12], "mask": figures}))
    run(made, OUT)
    assert "| accepted | 0.9737 |" in OUT.with_name("README.md").read_text()
    Path("reports/evaluation.json").write_text(json.dumps({"checkpoint": "another", "mask": figures}))
    run(made, OUT)
    assert "accepted" not in OUT.with_name("README.md").read_text()


def test_the_card_has_the_figures_that_the_registry_keeps(made):
    model = registry.Model(
        "v1",
        "2026-11-23T00:00:00Z",
        sha256(made / "checkpoint.json"),
        None,
        12,
        "d",
        {},
        "b",
        {"mask": {"kid": 0.25}},
        "first",
    )
    registry.write(registry.Registry("v1", (model,)))
    run(made, OUT)
    assert "| kid | 0.25 |" in OUT.with_name("README.md").read_text()


def test_a_readme_of_something_else_is_not_written_over(made):
    OUT.parent.mkdir()
    OUT.with_name("README.md").write_text("# my project\n")
    with pytest.raises(SystemExit, match=r"is not the model card of mask\.onnx"):
        run(made, OUT)
    assert OUT.with_name("README.md").read_text() == "# my project\n"
    assert not OUT.exists()


def test_the_file_must_be_called_onnx(made):
    with pytest.raises(SystemExit, match=r"does not end in \.onnx"):
        run(made, "exports/mask.pt")
