"""Which checkpoint a command uses: the promoted model unless another is named, or none; a warning about another one."""

import json
import sys
from pathlib import Path

import pytest

from flows.cli import main
from flows.model_choice import checkpoint_or_drawing, find_checkpoint, unpromoted_warning
from models import registry
from models.evaluation_report import Evaluation
from models.registry import Model, Registry
from pipeline.errors import FacemaskError
from pipeline.storage.files import sha256


def checkpoint(folder, seen):
    folder = Path(folder)
    folder.mkdir(parents=True)
    (folder / "checkpoint.json").write_text(json.dumps({"images_seen": seen}))
    return sha256(folder / "checkpoint.json")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A project with the promoted model v1, and v2, which is worse and also in checkpoints/; photos beside them."""
    monkeypatch.chdir(tmp_path)
    digests = {"v1": checkpoint("registry/v1", 1), "v2": checkpoint("registry/v2", 2)}
    checkpoint("checkpoints", 2)
    verdicts = {"v1": "the first one", "v2": "worse than v1 by more than 0.02: mask.accepted 0.5 against 0.9"}
    models = [
        Model(name, "2026-11-23T00:00:00Z", digest, None, 9, "d", {}, "b", Evaluation(), verdicts[name])
        for name, digest in digests.items()
    ]
    registry.write(Registry("v1", tuple(models)))
    Path("photos").mkdir()
    Path("photos/a.png").touch()
    return tmp_path


@pytest.fixture
def used(monkeypatch):
    """The arguments of models.inference.apply.apply, .app.app and of the drawing, instead of what they do."""
    calls = []

    class Module:
        @staticmethod
        def apply(folder, images, out, **_):
            calls.append((folder, images, out))

        @staticmethod
        def app(folder, port):
            calls.append((folder, port))

        @staticmethod
        def export(folder, out, direction):
            calls.append((folder, out, direction))

    monkeypatch.setitem(sys.modules, "models.inference.apply", Module)
    monkeypatch.setitem(sys.modules, "models.inference.app", Module)
    monkeypatch.setitem(sys.modules, "models.export.onnx_export", Module)
    monkeypatch.setattr("flows.cli.photos._draw", lambda options, images: calls.append(("drawn", options, images)))
    return calls


@pytest.mark.parametrize(
    ("name", "folder"),
    [(None, "registry/v1"), ("promoted", "registry/v1"), ("v2", "registry/v2"), ("checkpoints", "checkpoints")],
)
def test_a_checkpoint_is_a_model_s_name_or_a_folder_and_by_default_the_promoted_model(here, name, folder):
    assert find_checkpoint(Path(name) if name else None) == Path(folder)


def test_a_folder_comes_before_a_model_of_the_same_name(here):
    checkpoint("v2", 3)
    assert find_checkpoint(Path("v2")) == Path("v2")


def test_without_a_name_it_is_drawn_only_where_no_model_is_promoted(here):
    assert checkpoint_or_drawing(None) == Path("registry/v1")
    registry.write(Registry(None, registry.read().models))
    assert checkpoint_or_drawing(None) is None


def test_drawing_can_be_chosen_by_its_name_where_a_model_is_promoted(here):
    assert checkpoint_or_drawing(Path("drawing")) is None


def test_a_folder_comes_before_the_name_drawing(here):
    checkpoint("drawing", 3)
    assert checkpoint_or_drawing(Path("drawing")) == Path("drawing")


def test_where_a_model_is_needed_drawing_is_refused(here, used):
    with pytest.raises(SystemExit, match="a model is needed here, and 'drawing' stands for none: "):
        main(["export", "drawing", "m.onnx"])
    assert used == []


def test_an_unknown_name_lists_the_models(here):
    models = "the models here are v1, v2, promoted"
    with pytest.raises(FacemaskError, match=f"v7 is neither a folder nor a model: {models}"):
        find_checkpoint(Path("v7"))


def test_without_a_promoted_model_one_must_be_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FacemaskError, match="no model is promoted in this folder"):
        find_checkpoint(None)


def test_a_checkpoint_that_is_not_promoted_is_warned_of_with_the_reason(here):
    warning = unpromoted_warning(Path("checkpoints"))
    assert warning.startswith("checkpoints is model v2, and v1 is the promoted one (v2: worse than v1")
    assert unpromoted_warning(Path("registry/v1")) is None


def test_a_checkpoint_from_elsewhere_is_not_warned_of(here):
    checkpoint("theirs", 77)
    assert unpromoted_warning(Path("theirs")) is None


@pytest.mark.parametrize(
    ("arguments", "folder"),
    [
        (["apply", "photos", "--out", "out", "--unmask"], "registry/v1"),
        (["apply", "promoted", "photos", "--out", "out"], "registry/v1"),
        (["apply", "v2", "photos", "--out", "out"], "registry/v2"),
        (["apply", "checkpoints", "photos", "--out", "out"], "checkpoints"),
        (["app"], "registry/v1"),
        (["app", "v2"], "registry/v2"),
        (["export", "m.onnx"], "registry/v1"),
        (["export", "v2", "m.onnx"], "registry/v2"),
    ],
)
def test_commands_use_the_promoted_model_unless_another_one_is_named(here, used, arguments, folder):
    main(arguments)
    assert used[0][0] == Path(folder)


@pytest.mark.parametrize(
    ("named", "option", "promoted"),
    [([], [], "v1"), (["drawing"], [], "v1"), (["drawing"], ["--unmask"], "v1"), ([], ["--unmask"], None)],
)
def test_photos_are_drawn_on_without_a_model(here, used, named, option, promoted):
    registry.write(Registry(promoted, registry.read().models))
    main(["apply", *named, "photos", "--out", "out", *option])
    [(what, options, images)] = used
    assert (what, images, options.unmask) == ("drawn", [Path("photos")], bool(option))


def test_the_page_draws_where_no_model_is_promoted_and_by_that_name(here, used):
    main(["app", "drawing"])
    registry.write(Registry(None, registry.read().models))
    main(["app"])
    assert [folder for folder, _ in used] == [None, None]


def test_a_drawing_that_is_named_takes_the_options_of_masks(here, used):
    main(["apply", "drawing", "photos", "--out", "out", "--kind", "kn95"])
    assert used[0][0] == "drawn"


def test_apply_warns_of_a_model_that_is_not_promoted(here, used, capsys):
    main(["apply", "checkpoints", "photos", "--out", "out"])
    assert "facemask: warning: checkpoints is model v2, and v1 is the promoted one" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["apply", "photos"], "--out is missing: name the folder where the PNG files go"),
        (["apply", "v1", "--out", "out"], "name the photos"),
        (
            ["apply", "v9", "photos", "--out", "out"],
            "v9 does not exist, and no model: name a photo, a folder, or a model (the models here",
        ),
        (["apply", "photos", "--out", "out", "--unmask", "--kind", "kn95"], "--kind is for drawn masks, and --unmask"),
        (
            ["apply", "drawing", "photos", "--out", "out", "--unmask", "--seed", "1"],
            "--seed is for drawn masks, and --unmask",
        ),
        (
            ["apply", "v1", "photos", "--out", "out", "--kind", "kn95"],
            "--kind is for drawn masks, and v1",
        ),
    ],
)
def test_wrong_arguments_are_a_one_line_error(here, used, arguments, message):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert message in str(ended.value)
    assert used == []
