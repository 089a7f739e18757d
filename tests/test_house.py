"""Rules of the whole tree: which imports are allowed, how long a function may be, and what dvc.yaml must list."""

import ast
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml

from models.methods.method import METHODS
from models.params import TrainParams
from tests.closure import ROOT, closure, file_of, imports
from tests.rooms import LAYERS, layer_of, room_of

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
# Files that a module reads: no import shows them.
READ_BY = {
    "pipeline/report/page.css": "pipeline/report/page.py",
    "pipeline/report/page.html": "pipeline/report/page.py",
    **{
        path.relative_to(ROOT).as_posix(): "pipeline/report/page.py"
        for path in ROOT.glob("pipeline/report/script/*.js")
    },
    "pipeline/faces/mask_coverage.onnx": "pipeline/faces/mask_coverage.py",
    "pipeline/unmasking/lower_face.npz": "pipeline/unmasking/lower_face_model.py",
    "pipeline/sources/addresses.yaml": "pipeline/sources/addresses.py",
    "pipeline/sources/portraits.sha256": "pipeline/sources/addresses.py",
}
# Training runs on machines without MediaPipe: of pipeline/ it may import the readers of manifest and packed arrays,
# what draws masks, bare faces and conditioning maps, and what these need. Not what finds masks in photos: where they
# are is in the pack.
OPEN_TO_TRAINING = {
    *(f"pipeline/{name}.py" for name in ("errors", "messages", "params", "paths")),
    *(f"pipeline/storage/{name}.py" for name in ("manifest", "packed_arrays", "files", "code_digest")),
    *(f"pipeline/faces/{name}.py" for name in ("regions", "conditioning")),
    *(path.relative_to(ROOT).as_posix() for path in ROOT.glob("pipeline/masks/*.py")),
    *(
        f"pipeline/unmasking/{name}.py"
        for name in ("bare_face", "continuation", "light", "lower_face_model", "area_errors")
    ),
}
TRAINING_CODE = closure("models.training.loop", *METHODS.values())
MAX_LINES, MAX_PARAMETERS = 60, 5  # of a function
# function -> why it may be larger
LARGER = {"facemask/__init__.py:apply": "public: the options of `facemask apply` as keywords"}


METHOD_FILE = "models/methods/${train.method}.py"  # in dvc.yaml: the file of the method that params.yaml names


def code_of(stage):
    """The files of code that a stage must list in dvc.yaml, relative to the root, as text."""
    files = {path.as_posix() for path in closure(STAGES[stage])}
    if "models/methods/method.py" in files:  # which imports the method's file by its name
        methods = {file_of(module) for module in METHODS.values()}
        files |= {path.as_posix() for path in closure(*METHODS.values()) - methods} | {METHOD_FILE}
    return files | {file for file, module in READ_BY.items() if module in files}


def dvc_stage(name):
    stage = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"][name]
    return stage.get("do", stage)


def modules_of(package):
    return sorted((ROOT / package).rglob("*.py"))


def files_below(folder):
    """Files of a folder that count as code, relative to the root: all but empty and compiled ones."""
    return {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.read_bytes().strip()
    }


def functions(package):
    """(name, definition) for every function and method of a package, nested ones too; name as file:function."""
    for path in modules_of(package):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{path.relative_to(ROOT).as_posix()}:{node.name}", node


def local_imports(file):
    """Files of this project that a file imports, both relative to the root."""
    return {found for module in imports(ROOT / file) if (found := file_of(module))}


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
        ("pipeline", {"prefect", "torch", "torchvision", "models", "flows", "facemask"}),
        ("models", {"prefect", "mediapipe", "cv2", "flows", "facemask"}),
        ("flows", {"facemask"}),
    ],
)
def test_no_package_imports_across_a_wall(package, forbidden):
    assert {(path, name) for path, name in outside_imports(package) if name in forbidden} == set()


@pytest.mark.parametrize("package", LAYERS)
def test_no_import_within_a_package_runs_upward(package):
    upward = [
        (file.as_posix(), imported.as_posix())
        for file in (path.relative_to(ROOT) for path in modules_of(package))
        for imported in sorted(local_imports(file))
        if imported.parts[0] == package and imported.name != "__init__.py" and layer_of(imported) > layer_of(file)
    ]
    assert upward == []


@pytest.mark.parametrize("package", LAYERS)
def test_every_room_and_module_has_a_layer(package):
    named = {room for rooms in LAYERS[package] for room in rooms}
    present = {room_of(path.relative_to(ROOT)) for path in modules_of(package)}
    assert named <= present
    if package != "flows":  # whose own modules are the top layer
        assert present - named <= {"__init__", "__main__"}


def test_only_the_command_imports_the_stages():
    importing = {
        path.relative_to(ROOT).as_posix()
        for package in LAYERS
        for path in modules_of(package)
        if any(module.startswith("pipeline.stages.") for module in imports(path))
    }
    assert importing == {"pipeline/__main__.py"}


@pytest.mark.parametrize("package", LAYERS)
def test_no_function_is_too_long_or_has_too_many_parameters(package):
    def parameters(node):
        return len([*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs])

    large = {
        name: (node.end_lineno - node.lineno + 1, parameters(node))
        for name, node in functions(package)
        if node.end_lineno - node.lineno >= MAX_LINES or parameters(node) > MAX_PARAMETERS
    }
    assert large.keys() == {name for name in LARGER if name.startswith(f"{package}/")}, large


def test_training_imports_of_the_pipeline_only_the_readers_and_the_drawing():
    used = {path.as_posix() for path in TRAINING_CODE if path.parts[0] == "pipeline"}
    assert used <= OPEN_TO_TRAINING


def test_training_imports_nothing_that_finds_faces_or_masks_in_photos():
    finding = {"mask_area", "mask_coverage", "onnx_session", "photo_faces", "detection", "landmarker"}
    assert {path.as_posix() for path in TRAINING_CODE if path.stem in finding} == set()
    outside = {module.split(".")[0] for path in TRAINING_CODE for module in imports(ROOT / path)}
    assert outside & {"mediapipe", "onnxruntime"} == set()


def test_evaluation_does_not_import_what_only_stage_measure_needs():
    """Otherwise an edit of the worker pool would evaluate a model again."""
    used = {path.stem for path in closure("models.evaluation.evaluate")}
    assert used & {"thumbnails", "dask_cluster", "worker_pool", "measurements", "measuring"} == set()


def test_dvc_yaml_has_exactly_these_stages():
    assert set(yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]) == set(STAGES)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_exactly_the_code_that_it_imports(stage):
    """A folder under deps stands for all files in it, so the stage must import all of them."""
    listed = [dep for dep in dvc_stage(stage)["deps"] if dep.split("/")[0] in LAYERS]
    files = {file for dep in listed for file in (files_below(dep) if (ROOT / dep).is_dir() else {dep})}
    assert files == code_of(stage)


def test_each_method_is_one_file_that_imports_no_other_method():
    files = {name: file_of(module) for name, module in METHODS.items()}
    assert {path.as_posix() for path in files.values()} == {
        METHOD_FILE.replace("${train.method}", name) for name in files
    }
    for module in METHODS.values():
        assert closure(module) & set(files.values()) == {file_of(module)}


def test_training_depends_on_all_keys_of_its_block_but_those_of_other_methods():
    keys = TrainParams.__dataclass_fields__.keys() - METHODS.keys()
    assert set(dvc_stage("train")["params"]) == {*(f"train.{key}" for key in keys), "train.${train.method}"}


def test_every_plot_of_a_table_has_a_title_instead_of_its_path():
    plots = [plot for stage in STAGES for plot in dvc_stage(stage).get("plots", [])]
    tables = [values for plot in plots for values in plot.values() if "x" in values]
    assert tables and all(values.get("title") for values in tables)


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
        for package in ("facemask", "flows", "pipeline", "models", "benchmarks")
        for path in modules_of(package)
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and ast.unparse(call.func).endswith("Image.open")
    ]
    assert ("pipeline/storage/images.py", True) in {(path, named) for path, _, named in opened}
    assert [(path, line) for path, line, named in opened if not named] == []


def test_every_local_import_names_a_file_that_exists():
    missing = [
        (path.as_posix(), module)
        for package in LAYERS
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
    others = set(sys.stdlib_module_names) | set(packages_distributions()) | set(LAYERS)
    assert {path.stem for path in (ROOT / "flows").glob("*.py") if path.stem != "__init__"} & others == set()
