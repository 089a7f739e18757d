"""Stages run through the real DVC: order, output, errors, and nothing run twice."""

import os
import re
import signal
import subprocess
import sys

import pytest

from flows.processes.dvc_runner import ignore
from flows.stages import StageFailed, choose, run_stage, stage_names
from pipeline.errors import FacemaskError
from tests.flows.conftest import ROOT, add_stage, failing, is_running, python, wait_for

TOY_STAGES = ["fetch@one", "fetch@two", "curate", "evaluate"]


def test_stages_are_listed_in_the_order_of_dvc_yaml(toy):
    assert stage_names(toy) == TOY_STAGES


def test_data_that_dvc_tracks_without_a_stage_such_as_a_registered_model_is_no_stage(toy):
    (toy / "model.bin").write_text("weights")
    added = python("-m", "dvc", "add", "model.bin", cwd=toy)
    assert added.returncode == 0, added.stdout
    assert stage_names(toy) == TOY_STAGES


def test_the_projects_stages_are_those_of_dvc_dag_in_an_order_that_it_allows():
    if not (ROOT / "dvc.yaml").is_file():
        pytest.skip("no dvc.yaml yet")
    names = stage_names(ROOT)
    drawn = python("-m", "dvc", "dag", "--dot", cwd=ROOT).stdout
    edges = re.findall(r'"([^"]+)" -> "([^"]+)"', drawn)
    assert set(re.findall(r'"([^"]+)"', drawn)) == set(names)
    assert edges
    assert [edge for edge in edges if names.index(edge[0]) >= names.index(edge[1])] == []


def test_a_kind_stands_for_all_its_stages_and_the_order_stays():
    assert choose(TOY_STAGES, ["curate", "fetch"]) == ["fetch@one", "fetch@two", "curate"]
    assert choose(TOY_STAGES, ["fetch@two"]) == ["fetch@two"]
    assert choose(TOY_STAGES, None) == TOY_STAGES


def test_the_registry_that_the_page_depends_on_is_created_where_there_is_none_yet(toy):
    with (toy / "dvc.yaml").open("a") as file:
        file.write("  report:\n    cmd: echo page > page\n    deps: [registry/models.json]\n    outs: [page]\n")
    run_stage("report", toy, ignore)
    assert (toy / "page").is_file()


def test_an_unknown_stage_is_refused_by_name():
    with pytest.raises(FacemaskError, match="no stage 'trian'"):
        choose(TOY_STAGES, ["trian"])


def test_the_second_run_runs_nothing(toy):
    for stage in 2 * TOY_STAGES:
        run_stage(stage, toy, ignore)
    assert (toy / "ran.log").read_text().split() == ["one", "two", "curate", "evaluate"]


def test_the_stages_output_is_logged_without_dvcs_advice(toy):
    add_stage(toy, "talk", "print('half way'); open('talk.out', 'w').write('x')")
    lines: list[str] = []
    run_stage("talk", toy, lines.append)
    assert lines == ["> python talk.py", "half way"]


@pytest.mark.parametrize(
    ("script", "reason", "retryable"),
    [
        (failing("no images in x: add some"), "no images in x: add some", False),
        ("raise ValueError('of 3')", "ValueError: of 3 (exit status 1)", True),
        ("import os; os.kill(os.getpid(), 9)", "killed by signal 9", True),
        ("from pipeline import messages; messages.stopped('saved'); raise SystemExit(75)", "saved", True),
    ],
    ids=["error", "bug", "killed", "stopped"],
)  # fmt: skip
@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash"])
def test_a_failed_stage_is_named_with_its_own_reason(toy, script, reason, retryable, shell, monkeypatch):
    monkeypatch.setenv("SHELL", shell)  # DVC runs a stage's command in it
    add_stage(toy, "fails", script)
    with pytest.raises(StageFailed) as caught:
        run_stage("fails", toy, ignore)
    assert str(caught.value) == f"stage 'fails' failed: {reason}"
    assert caught.value.retryable == retryable


def test_what_dvc_itself_refuses_is_not_retried(toy):
    with pytest.raises(StageFailed, match=r"stage 'evaluate' failed: .*manifest") as caught:
        run_stage("evaluate", toy, ignore)
    assert not caught.value.retryable


def test_a_broken_dvc_yaml_is_one_line(toy):
    (toy / "dvc.yaml").write_text("stages: [")
    with pytest.raises(FacemaskError, match=r"DVC cannot read .*dvc\.yaml: .*YAML file .* corrupted") as caught:
        stage_names(toy)
    assert "\n" not in str(caught.value)


def test_a_folder_without_dvc_yaml_is_refused(tmp_path):
    with pytest.raises(FacemaskError, match=r"no dvc\.yaml in"):
        stage_names(tmp_path)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_stopped_run_leaves_no_stage_behind(toy, how):
    add_stage(toy, "slow", "import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(3600)")
    code = "from pathlib import Path; from flows.stages import run_stage; run_stage('slow', Path.cwd(), print)"
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=toy, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    wait_for(lambda: (toy / "pid").is_file() and (toy / "pid").read_text(), "the stage starts")
    stage = int((toy / "pid").read_text())
    os.kill(process.pid, how)
    process.wait()
    wait_for(lambda: not is_running(stage), "the stage ends")
    # And its lock is free: the next run starts at once.
    (toy / "slow.py").write_text("open('slow.out', 'w')")
    run_stage("slow", toy, ignore)
    assert (toy / "slow.out").is_file()
