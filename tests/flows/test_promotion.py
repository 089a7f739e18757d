"""A trained model is promoted or kept by metrics on the same test faces; DVC keeps every one."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

from flows.model_list import list_models, promote
from flows.promotion import register_trained, worse_metrics
from models import registry
from models.evaluation_report import Evaluation, parse
from models.training.checkpoint import SCHEMA
from pipeline.errors import FacemaskError
from pipeline.storage.files import sha256
from tests.conftest import demo_params
from tests.flows.conftest import PROGRAMS, ROOT
from tests.models.conftest import TINY, write_pack

EVALUATE = """
import json
from pathlib import Path
Path("work").mkdir(exist_ok=True)
Path("work/promoted-evaluation.json").write_text(Path("evaluation-now.json").read_text())
print("evaluating")
"""


@pytest.fixture
def here(toy, monkeypatch):
    """The toy workspace, where an evaluation of the promoted model returns evaluation-now.json."""
    monkeypatch.chdir(toy)
    monkeypatch.delenv("FACEMASK_WORK", raising=False)
    with Path("params.yaml").open("a") as params:
        params.write("curate: {split: {val: 0.1}}\nretrain: {warm_start: false, tolerance: 0.02}\n")
    Path("models/__main__.py").write_text(EVALUATE)
    return toy


def figures(accepted=0.8, still_masked=0.1, test_set="faces", copies=None, **more):
    """still_masked None: the model only puts masks on; copies: it makes new faces."""
    if copies is not None:
        return {"test_set": test_set, "new_unmasked": {"copies": copies}, "new_masked": {"copies": copies}}
    unmask = {} if still_masked is None else {"still_masked": still_masked}
    return {"test_set": test_set, "mask": {"accepted": accepted, **more}, "unmask": unmask}


def train(seed, code="code", split=None, schema=SCHEMA, **values):
    """Leave behind what stages train and evaluate would; returns the outcome, and the lines of the log."""
    shutil.rmtree("checkpoints", ignore_errors=True)
    Path("checkpoints").mkdir()
    Path("checkpoints/generator_mask.safetensors").write_text(f"weights {seed}")
    Path("checkpoints/state.pt").write_text("state")
    about = {"schema": schema, "images_seen": seed, "pack_sha256": f"{seed}" * 64, "started_from": None}
    Path("checkpoints/checkpoint.json").write_text(json.dumps(about))
    Path("reports").mkdir(exist_ok=True)
    evaluation = {"checkpoint": sha256(Path("checkpoints/checkpoint.json"))[:12], **figures(**values)}
    Path("reports/evaluation.json").write_text(json.dumps(evaluation))
    deps = [
        {"path": path, "md5": md5}
        for path, md5 in (("checkpoints", f"{seed}" * 32), ("models/evaluation/evaluate.py", code))
    ]
    Path("dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": {"evaluate": {"cmd": "x", "deps": deps}}}))
    if split:
        params = yaml.safe_load(Path("params.yaml").read_text())
        Path("params.yaml").write_text(yaml.safe_dump({**params, "curate": {"split": split}}))
    lines: list[str] = []
    return register_trained(lines.append), lines


def dvc(*words, cwd=None):
    environment = os.environ | {"PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}", "DVC_NO_ANALYTICS": "1"}
    return subprocess.run(
        [sys.executable, "-m", "dvc", *words], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


def test_the_first_model_is_promoted(here):
    outcome, _ = train(1)
    assert outcome == "model v1 promoted: the first one"
    assert registry.read().promoted == "v1"
    assert registry.weights("v1").joinpath("generator_mask.safetensors").read_text() == "weights 1"


def test_a_model_that_is_not_worse_is_promoted_and_a_worse_one_is_kept_and_marked(here):
    train(1, accepted=0.8)
    better, _ = train(2, accepted=0.79)
    worse, lines = train(3, accepted=0.7)
    assert better.startswith("model v2 promoted: not worse than v1: mask.accepted 0.79 against 0.8")
    assert worse == (
        "model v3 kept, not promoted: worse than v2 by more than 0.02: mask.accepted 0.7 against 0.79; "
        "'facemask models --promote v3' does it"
    )
    assert worse in lines
    known = registry.read()
    assert known.promoted == "v2"
    assert known.find("v3").verdict == "worse than v2 by more than 0.02: mask.accepted 0.7 against 0.79"
    assert Path("registry/v3.dvc").is_file()


def test_a_model_that_makes_new_faces_is_kept_and_not_promoted_even_as_the_first_one(here, capsys):
    outcome, _ = train(1, copies=0.0)
    assert "model v1 kept, not promoted: makes new faces" in outcome and "'facemask sample v1 --out DIR'" in outcome
    assert registry.read().promoted is None
    assert registry.read().find("v1").metrics.new_masked.copies == 0
    list_models()
    assert "promoted: none" in capsys.readouterr().out
    assert train(2)[0] == "model v2 promoted: the first one"


def test_a_model_that_only_puts_masks_on_does_not_replace_one_that_takes_them_off_too(here):
    train(1)
    outcome, _ = train(2, accepted=0.99, still_masked=None)
    assert outcome == (
        "model v2 kept, not promoted: only puts masks on, and v1 takes them off too; "
        "'facemask models --promote v2' does it"
    )
    assert registry.read().promoted == "v1"


def test_models_that_only_put_masks_on_are_registered_and_compared_by_the_masks(here, capsys):
    assert train(1, still_masked=None)[0] == "model v1 promoted: the first one"
    assert train(2, accepted=0.7, still_masked=None)[0].startswith("model v2 kept, not promoted: worse than v1")
    assert train(3)[0].startswith("model v3 promoted: not worse than v1: mask.accepted 0.8 against 0.8,")
    list_models()
    assert "0.1" in capsys.readouterr().out


def test_the_same_model_is_registered_once(here):
    train(1)
    assert train(1) == (None, [])
    assert len(registry.read().models) == 1


def test_an_evaluation_of_another_checkpoint_registers_nothing(here):
    train(1)
    Path("checkpoints/checkpoint.json").write_text('{"images_seen": 9}')
    assert register_trained(print) is None


def test_on_other_test_faces_the_promoted_model_is_evaluated_again(here):
    train(1, accepted=0.8)
    Path("evaluation-now.json").write_text(json.dumps(figures(accepted=0.6, test_set="other faces")))
    outcome, lines = train(2, accepted=0.61, test_set="other faces")
    assert "evaluating" in lines
    assert outcome.startswith("model v2 promoted: not worse than v1: mask.accepted 0.61 against 0.6,")
    assert registry.read().find("v1").metrics.mask.accepted == 0.6


def test_with_other_limits_the_promoted_model_is_evaluated_again(here):
    train(1, accepted=0.8)
    Path("evaluation-now.json").write_text(json.dumps(figures(accepted=0.9)))
    outcome, lines = train(2, accepted=0.8, code="stricter limits")
    assert "evaluating" in lines
    assert "worse than v1 by more than 0.02: mask.accepted 0.8 against 0.9" in outcome


def test_after_a_change_of_the_split_models_are_not_compared(here):
    train(1)
    outcome, lines = train(2, accepted=1.0, split={"val": 0.2})
    assert "model v2 kept, not promoted: cannot be compared with v1: curate.split has changed since" in outcome
    assert "evaluating" not in lines


def test_a_model_that_this_code_cannot_read_is_not_compared_with(here):
    train(1, schema=1)
    outcome, lines = train(2, accepted=1.0, test_set="other faces")
    assert "model v2 kept, not promoted: cannot be compared with v1, which an earlier facemask made" in outcome
    assert "evaluating" not in lines


def test_a_failed_evaluation_of_the_promoted_model_is_one_line_and_the_next_run_tries_again(here):
    train(1)
    with pytest.raises(
        FacemaskError, match=r"the promoted model cannot be evaluated again: .*evaluation-now\.json"
    ) as caught:
        train(2, test_set="other faces")
    assert "\n" not in str(caught.value)
    assert [model.name for model in registry.read().models] == ["v1"]
    Path("evaluation-now.json").write_text(json.dumps(figures(test_set="other faces")))
    assert register_trained(print).startswith("model v2 promoted")


@pytest.mark.parametrize(
    ("new", "worse"),
    [
        ({"accepted": 0.78}, []),
        ({"accepted": 0.7799}, ["mask.accepted 0.7799 against 0.8"]),
        ({"still_masked": 0.12}, []),
        ({"still_masked": 0.1201}, ["unmask.still_masked 0.1201 against 0.1"]),
        ({"kid": 0.051}, ["mask.kid 0.051 against 0.03"]),
        ({"accepted": 1.0, "still_masked": 0.0, "kid": 0.0}, []),
    ],
)
def test_worse_means_by_more_than_the_tolerance(new, worse):
    assert worse_metrics(parse(figures(**new)), parse(figures(kid=0.03)), 0.02) == worse


@pytest.mark.parametrize(("auc", "is_worse"), [(0.81, False), (0.83, True), (0.4, False)])
def test_fakes_that_are_told_from_real_faces_better_than_by_chance_are_worse(auc, is_worse):
    old = parse(figures(real_fake_auc=0.7, real_fake_auc_interval=[0.58, 0.82]))
    worse = [f"mask.real_fake_auc {auc} against 0.7"] if is_worse else []
    assert worse_metrics(parse(figures(real_fake_auc=auc)), old, 0.02) == worse


def test_within_the_tolerance_a_model_beyond_the_interval_is_not_worse():
    old = parse(figures(real_fake_auc=0.7, real_fake_auc_interval=[0.69, 0.71]))
    assert worse_metrics(parse(figures(real_fake_auc=0.715)), old, 0.02) == []
    assert worse_metrics(parse(figures(real_fake_auc=0.725)), old, 0.02) != []


def test_a_metric_that_one_of_them_lacks_is_left_out():
    assert worse_metrics(parse(figures(kid=0.9)), parse(figures()), 0.02) == []


def test_a_rollback_restores_weights_that_garbage_collection_left(here):
    train(1)
    train(2)
    assert registry.read().promoted == "v2"
    collected = dvc("gc", "--workspace", "--force")
    assert collected.returncode == 0, collected.stderr
    shutil.rmtree("registry/v1")
    promote("v1")
    assert registry.read().promoted == "v1"
    assert registry.weights("v1").joinpath("generator_mask.safetensors").read_text() == "weights 1"


def test_the_weights_come_back_by_dvc_alone(here):
    train(1)
    shutil.rmtree("registry/v1")
    assert dvc("checkout", "registry/v1.dvc").returncode == 0
    assert registry.weights("v1").joinpath("generator_mask.safetensors").read_text() == "weights 1"


def test_an_unknown_model_is_refused_by_name(here):
    train(1)
    with pytest.raises(FacemaskError, match=r"has no model 'v7': it has v1"):
        promote("v7")


def test_the_list_shows_figures_data_and_the_promoted_one(here, capsys):
    train(1, accepted=0.8)
    train(2, accepted=0.5)
    list_models()
    head, first, second, *rest = capsys.readouterr().out.splitlines()
    assert head.split()[:5] == ["model", "registered", "data", "start", "images"]
    assert first.split()[:2] == ["*", "v1"]
    assert {"1" * 12, "0.8", "0.1"} <= set(first.split())
    assert {"v2", "2" * 12, "0.5"} <= set(second.split())
    assert "newest: v2: worse than v1 by more than 0.02: mask.accepted 0.5 against 0.8" in rest


def test_a_run_commits_nothing(here):
    subprocess.run(["git", "init", "--quiet"], check=True)
    Path("of_theirs.py").write_text("half done")
    train(1)
    assert subprocess.run(["git", "rev-parse", "--quiet", "--verify", "HEAD"], capture_output=True).returncode
    staged = subprocess.run(["git", "diff", "--cached", "--name-only"], capture_output=True, text=True).stdout
    assert staged == ""


def test_repro_runs_nothing_after_a_promotion_and_new_data_starts_from_the_promoted_model(tmp_path, monkeypatch):
    monkeypatch.delenv("FACEMASK_WORK", raising=False)
    workspace = tmp_path / "w"
    for package in ("models", "pipeline", "experiments"):
        shutil.copytree(ROOT / package, workspace / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "dvc.yaml", workspace)
    settings = {**demo_params(), "train": asdict(TINY), "retrain": {"warm_start": True, "tolerance": 0.02}}
    (workspace / "params.yaml").write_text(yaml.safe_dump(settings))
    counts = {"unmasked_train": 3, "masked_train": 3, "unmasked_test": 1, "masked_test": 1}
    write_pack(workspace / "data/train", counts)
    assert dvc("init", "--quiet", "--no-scm", cwd=workspace).returncode == 0

    def repro():
        done = dvc("repro", "--single-item", "start", "train", cwd=workspace)
        assert done.returncode == 0, done.stdout + done.stderr
        return [f"Running stage '{stage}'" in done.stdout for stage in ("start", "train")]

    def started_from():
        return json.loads((workspace / "checkpoints/checkpoint.json").read_text())["started_from"]

    assert repro() == [True, True]
    assert started_from() is None
    (workspace / "registry").mkdir()
    shutil.copytree(workspace / "checkpoints", workspace / "registry/v1")
    about = {"name": "v1", "registered": "", "checkpoint": "", "started_from": None, "images_seen": 1, "data": ""}
    model = registry.Model(**about, split={}, evaluation_id="", metrics=Evaluation(), verdict="")
    registry.write(registry.Registry("v1", (model,)), workspace / "registry")
    assert repro() == [False, False]

    shutil.rmtree(workspace / "data/train")
    write_pack(workspace / "data/train", {**counts, "masked_train": 4}, seed=1)
    assert repro() == [True, True]
    assert started_from()["model"] == "v1"
    assert repro() == [False, False]
