"""The house's own rules: who may import whom, and that dvc.yaml says what the stages stand on."""

import ast
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml

from tests.closure import ROOT, closure, file_of, imports

STAGES = {
    "fetch": "pipeline.stages.fetch",
    "measure": "pipeline.stages.measure",
    "curate": "pipeline.stages.curate",
    "pack": "pipeline.stages.pack",
    "start": "models.training.warm_start",
    "train": "models.training.loop",
    "evaluate": "models.evaluation.evaluate",
    "report": "pipeline.stages.report",
}
# Files that a module reads: no import tells of them.
READ_BY = {
    "pipeline/report/page.css": "pipeline/report/page.py",
    "pipeline/report/page.html": "pipeline/report/page.py",
    **{
        path.relative_to(ROOT).as_posix(): "pipeline/report/page.py"
        for path in ROOT.glob("pipeline/report/script/*.js")
    },
    "pipeline/faces/mask_coverage.onnx": "pipeline/faces/mask_coverage.py",
    "pipeline/sources/addresses.yaml": "pipeline/sources/addresses.py",
    "pipeline/sources/portraits.sha256": "pipeline/sources/addresses.py",
}
# The training code runs on machines that have neither MediaPipe nor OpenCV: of pipeline/ it may import the readers of
# manifest and pack, and what these stand on.
OPEN_TO_TRAINING = {
    "pipeline/errors.py",
    "pipeline/params.py",
    *(f"pipeline/storage/{name}.py" for name in ("manifest", "packed_arrays", "files")),
}


def dvc_stage(name):
    stage = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"][name]
    return stage.get("do", stage)


def modules_of(package):
    return sorted((ROOT / package).rglob("*.py"))


def outside_imports(package):
    """(file, top-level package) for every import of a package's files."""
    return {
        (path.relative_to(ROOT).as_posix(), module.split(".")[0])
        for path in modules_of(package)
        for module in imports(path)
    }


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("pipeline", {"prefect", "torch", "torchvision", "models", "flows"}),
        ("models", {"prefect", "mediapipe", "cv2", "flows"}),
    ],
)
def test_no_package_imports_across_a_wall(package, forbidden):
    assert {(path, name) for path, name in outside_imports(package) if name in forbidden} == set()


def test_the_training_code_imports_of_the_pipeline_only_the_readers():
    used = {path.as_posix() for path in closure("models.training.loop") if path.parts[0] == "pipeline"}
    assert used <= OPEN_TO_TRAINING


def test_dvc_yaml_has_exactly_the_stages_of_the_design():
    assert set(yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]) == set(STAGES)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_every_local_module_that_it_imports(stage):
    listed = {dep for dep in dvc_stage(stage)["deps"] if dep.split("/")[0] in ("pipeline", "models", "flows")}
    needed = {path.as_posix() for path in closure(STAGES[stage])}
    assert listed == needed | {file for file, module in READ_BY.items() if module in needed}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_reads_params_of_its_own_name(stage):
    blocks = {param.split(".")[0] for param in dvc_stage(stage)["params"]}
    assert {"start": "retrain", "report": "curate"}.get(stage, stage) in blocks
    assert blocks <= set(yaml.safe_load((ROOT / "params.yaml").read_text()))


def test_the_demo_has_the_same_params_blocks_as_the_project():
    demo = yaml.safe_load((ROOT / "flows/demo_params.yaml").read_text())
    assert set(demo) == set(yaml.safe_load((ROOT / "params.yaml").read_text()))


def test_no_file_names_a_registry_or_a_machine():
    words = re.compile(
        "/" + "work/|/" + "root/|/" + "opt/|py" + r"pi\.org|files\.python" + "hosted|registry\\.npm" + "js"
    )
    named = [
        path.relative_to(ROOT).as_posix()
        for suffix in ("*.py", "*.md", "*.yaml", "*.toml", "*.sh", "*.txt", "Makefile")
        for path in ROOT.rglob(suffix)
        if not {".venv", "demo", "work", ".git"} & set(path.relative_to(ROOT).parts) and words.search(path.read_text())
    ]
    assert named == []


def test_every_picture_is_opened_as_one_of_named_formats():
    """Without them Pillow tries all, of which one (EPS) runs a program."""
    opened = [
        (path.relative_to(ROOT).as_posix(), call.lineno, any(word.arg == "formats" for word in call.keywords))
        for package in ("flows", "pipeline", "models", "benchmarks")
        for path in modules_of(package)
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and ast.unparse(call.func).endswith("Image.open")
    ]
    assert ("pipeline/storage/images.py", True) in {(path, named) for path, _, named in opened}
    assert [(path, line) for path, line, named in opened if not named] == []


def test_every_local_import_names_a_file_that_exists():
    missing = [
        (path.as_posix(), module)
        for package in ("flows", "pipeline", "models")
        for path in modules_of(package)
        for module in imports(path)
        if module.split(".")[0] in ("flows", "pipeline", "models")
        and file_of(module) is None
        and file_of(module.rpartition(".")[0]) is None
        and not (ROOT / Path(*module.split("."))).is_dir()
    ]
    assert missing == []


def test_no_module_of_flows_hides_another_package():
    """Where Prefect loads a flow by its file, flows/ itself comes first on the path."""
    others = set(sys.stdlib_module_names) | set(packages_distributions()) | {"flows", "pipeline", "models"}
    assert {path.stem for path in (ROOT / "flows").glob("*.py") if path.stem != "__init__"} & others == set()
