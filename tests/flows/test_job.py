"""The contents of a hand-off are read from dvc.yaml, and a clone that differs is refused."""

import json
from pathlib import Path

import pytest
import yaml

from flows.handoff import job
from flows.handoff.job import HANDED_OVER, Job
from pipeline.errors import FacemaskError
from tests.flows.conftest import ROOT

LOCK = {
    "schema": "2.0",
    "stages": {
        "pack": {"cmd": "pack", "outs": [{"path": "data/train", "md5": "1.dir"}]},
        "train": {"cmd": "train", "outs": [{"path": "checkpoints", "md5": "2.dir"}]},
    },
}


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone with a stage `train` that reads one file and data/train."""
    stages = {
        "pack": {"cmd": "pack", "outs": [{"data/train": {"persist": True}}]},
        "train": {"cmd": "train", "deps": ["data/train", "train.py"], "outs": ["checkpoints"], "metrics": ["m.json"]},
        "evaluate": {"cmd": "evaluate", "deps": ["checkpoints", "data/train"], "outs": ["e.json"]},
        "each": {"foreach": ["a"], "do": {"cmd": "x", "outs": ["${item}"]}},
    }
    (tmp_path / "dvc.yaml").write_text(json.dumps({"stages": stages}))
    (tmp_path / "dvc.lock").write_text(yaml.safe_dump(LOCK, sort_keys=False))
    (tmp_path / "params.yaml").write_text("train: {images: 5}\n")
    (tmp_path / "train.py").write_text("pass\n")
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config").write_text("[core]\nno_scm = true\n")
    return tmp_path


def described(clone: Path) -> Job:
    return job.describe_job(["train", "evaluate"], clone)


def test_the_project_hands_over_what_train_and_evaluate_read_and_no_more():
    assert job.needed_data(HANDED_OVER, ROOT) == ["data/start", "data/train"]
    code = job.code_digests(HANDED_OVER, ROOT)
    assert {
        "dvc.yaml",
        "params.yaml",
        "models/training/loop.py",
        "models/evaluation/evaluate.py",
        "pipeline/faces/mask_coverage.onnx",
    } <= code.keys()
    assert not any(path.startswith(("data/", "checkpoints", "reports", "flows/")) for path in code)
    assert all(len(digest) == 64 for digest in code.values())


def test_data_that_no_stage_makes_is_code_and_what_a_stage_makes_is_not(clone):
    assert job.needed_data(["train", "evaluate"], clone) == ["data/train"]
    assert job.code_digests(["train", "evaluate"], clone).keys() == {"dvc.yaml", "params.yaml", "train.py"}


@pytest.mark.parametrize("path", ["train.py", "params.yaml", "dvc.yaml"])
def test_a_clone_that_differs_is_refused_by_the_files_name(clone, path):
    described_job = described(clone)
    job.refuse_other_code(described_job, clone)
    (clone / path).write_text((clone / path).read_text() + "\n# changed\n")
    with pytest.raises(FacemaskError, match=f"differs from the run that it is to train for, in {path}: ") as caught:
        job.refuse_other_code(described_job, clone)
    assert "\n" not in str(caught.value)


def test_the_training_key_is_the_same_if_only_code_and_other_stages_change(clone):
    name = job.training_key(described(clone), clone)
    (clone / "train.py").write_text("# a comment\n")
    job.merge_lock({"train": {"cmd": "train", "outs": [{"path": "checkpoints", "md5": "3.dir"}]}}, clone)
    assert job.training_key(described(clone), clone) == name
    (clone / "params.yaml").write_text("train: {images: 6}\n")
    assert job.training_key(described(clone), clone) != name


def test_the_preset_that_params_yaml_names_is_part_of_the_code_and_of_the_training_key(clone):
    text = (clone / "dvc.yaml").read_text().replace('"train.py"', '"train.py", "experiments/${train.preset}.yaml"')
    (clone / "dvc.yaml").write_text(text)
    (clone / "params.yaml").write_text("train: {preset: wide}\n")
    (clone / "experiments").mkdir()
    (clone / "experiments/wide.yaml").write_text("width: 96")
    before = described(clone)
    assert len(before["code"]["experiments/wide.yaml"]) == 64
    (clone / "experiments/wide.yaml").write_text("width: 97")
    assert job.training_key(described(clone), clone) != job.training_key(before, clone)


def test_new_data_changes_the_training_key(clone):
    name = job.training_key(described(clone), clone)
    job.merge_lock({"pack": {"cmd": "pack", "outs": [{"path": "data/train", "md5": "9.dir"}]}}, clone)
    assert job.training_key(described(clone), clone) != name


def test_merging_a_lock_takes_only_the_given_stages(clone):
    job.merge_lock({"train": {"cmd": "other"}, "evaluate": {"cmd": "evaluate"}}, clone)
    lock = yaml.safe_load((clone / "dvc.lock").read_text())
    assert lock["schema"] == "2.0"
    assert lock["stages"]["pack"] == LOCK["stages"]["pack"]
    assert lock["stages"]["train"] == {"cmd": "other"}
    assert job.lock_entries(["evaluate"], clone) == {"evaluate": {"cmd": "evaluate"}}


@pytest.mark.parametrize(
    "text",
    ["train: {}\n", "handoff: {enabled: false, wait_minutes: 1, checkpoint_minutes: 1}\n"],
    ids=["absent", "off"],
)
def test_without_the_block_or_switched_off_nothing_is_handed_over(tmp_path, text):
    (tmp_path / "params.yaml").write_text(text)
    assert job.handoff_params(tmp_path) is None


def test_a_misspelt_key_is_refused_by_name(tmp_path):
    (tmp_path / "params.yaml").write_text("handoff: {enabled: true, wait_minute: 1, checkpoint_minutes: 1}\n")
    with pytest.raises(FacemaskError, match=r"handoff\.wait_minute' is unknown"):
        job.handoff_params(tmp_path)


@pytest.mark.parametrize(
    ("stages", "named"), [(["train", "pack"], "not pack"), (["../x"], r"not \.\./x"), ([], "not no")]
)
def test_stages_that_a_gpu_worker_does_not_do_are_refused_by_name(stages, named):
    with pytest.raises(FacemaskError, match=named):
        job.refuse_unknown_stages(stages)


def test_an_interrupted_merge_leaves_the_whole_lock(clone, monkeypatch):
    before = (clone / "dvc.lock").read_bytes()

    def interrupted(path: Path, text: str, **_: object) -> None:
        path.write_bytes(text[:20].encode())
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_text", interrupted)
    with pytest.raises(KeyboardInterrupt):
        job.merge_lock({"train": {"cmd": "other"}}, clone)
    assert (clone / "dvc.lock").read_bytes() == before
