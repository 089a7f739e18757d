"""A stopped or killed DVC leaves a workspace in which the same command goes on."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from flows.processes.dvc_runner import Ended, ignore, read_stages, repair, run_dvc
from flows.stages import run_stage
from pipeline.errors import FacemaskError
from tests.flows.conftest import add_stage, clean_env, make_toy, wait_for

STOPS, KILLS = 60, 40
RUN = """
from pathlib import Path
from flows.stages import run_stage
from pipeline.command import run
run(lambda: run_stage("tick", Path.cwd(), print))
"""
# Changes its output each time, so that DVC has something to record.
TICK = "import time; open('tick.out', 'w').write(str(time.time_ns())); open('done', 'w')"


@pytest.fixture(scope="module")
def ticking(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a stage `tick` that always runs, and a dvc.lock of 30 kB, which takes a while to write."""
    workspace = make_toy(tmp_path_factory.mktemp("ticking") / "toy")
    add_stage(workspace, "tick", TICK)
    with (workspace / "dvc.yaml").open("a") as file:
        file.write("    always_changed: true\n")
    run_stage("tick", workspace, ignore)
    lock = yaml.safe_load((workspace / "dvc.lock").read_text())
    other = {"cmd": "true", "outs": [{"path": "x", "hash": "md5", "md5": "0" * 32, "size": 1}]}
    lock["stages"] |= {f"other-{number}": other for number in range(200)}
    (workspace / "dvc.lock").write_text(yaml.dump(lock, Dumper=NoAliases))
    run_stage("tick", workspace, ignore)
    return workspace


class NoAliases(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        return True


def stages_of(workspace: Path) -> set[str]:
    return set(yaml.safe_load((workspace / "dvc.lock").read_text())["stages"])


def start(command: list[str], workspace: Path) -> subprocess.Popen[bytes]:
    (workspace / "done").unlink(missing_ok=True)
    log = (workspace / "output").open("wb")
    return subprocess.Popen([sys.executable, *command], cwd=workspace, env=clean_env(workspace), stdout=log, stderr=log)


def test_a_stop_at_any_moment_after_a_stages_end_leaves_dvcs_files_whole(ticking):
    before = stages_of(ticking)
    for number in range(STOPS):
        run = start(["-c", RUN], ticking)
        wait_for(lambda run=run: (ticking / "done").exists() or run.poll() is not None, "the stage has ended")
        time.sleep(0.8 * number / STOPS)  # spread over what DVC does then: hashing, cache, dvc.lock, rwlock
        run.send_signal((signal.SIGTERM, signal.SIGINT)[number % 2])
        run.wait()
        output = (ticking / "output").read_text()
        assert (ticking / "done").exists(), f"stop {number}: the run did not go on after the one before it:\n{output}"
        assert "damaged" not in output, f"stop {number}: {output}"
        assert stages_of(ticking) == before, f"stop {number}"
        json.loads((ticking / ".dvc/tmp/rwlock").read_text())


@pytest.mark.parametrize("name", ["dvc.lock", ".dvc/tmp/rwlock"])
def test_after_a_kill_while_dvc_writes_a_file_the_same_command_goes_on(ticking, name):
    before = stages_of(ticking)
    run_stage("tick", ticking, ignore)
    file = ticking / name
    for number in range(KILLS // 2):
        written = file.stat().st_mtime_ns
        run = start(["-m", "dvc", "repro", "--single-item", "tick"], ticking)
        if name == "dvc.lock":
            wait_for(lambda run=run: (ticking / "done").exists() or run.poll() is not None, "the stage has ended")
        while file.stat().st_mtime_ns == written and run.poll() is None:
            pass
        run.kill()
        run.wait()
        lines: list[str] = []
        assert run_dvc(["status", "--json", "tick"], ticking, lines.append).status == 0, f"kill {number}: {lines}"
        assert stages_of(ticking) == before, f"kill {number}: {lines}"
    (ticking / "done").unlink(missing_ok=True)
    run_stage("tick", ticking, ignore)
    assert (ticking / "done").exists()


def test_a_cut_lock_is_restored_and_named(ticking):
    lock = ticking / "dvc.lock"
    repair(ticking, ignore)
    whole = lock.read_bytes()
    for cut in (0, 1, len(whole) // 2, len(whole) - 1):
        lock.write_bytes(whole[:cut])
        lines: list[str] = []
        repair(ticking, lines.append)
        assert lock.read_bytes() == whole
        assert [str(lock) in line for line in lines] == [True]


def test_a_cut_lock_without_a_copy_is_one_line_that_names_it(tmp_path):
    (tmp_path / ".dvc/tmp").mkdir(parents=True)
    (tmp_path / "dvc.lock").write_text("schema: '2.0'\nstages:\n  a: {cmd: tr")
    with pytest.raises(FacemaskError, match=r"dvc\.lock is damaged.*git restore dvc\.lock") as caught:
        repair(tmp_path, ignore)
    assert "\n" not in str(caught.value)


def test_a_lock_that_another_tool_changed_is_kept(ticking):
    lock = ticking / "dvc.lock"
    repair(ticking, ignore)
    changed = yaml.safe_load(lock.read_text())
    del changed["stages"]["other-0"]
    before = lock.read_bytes()
    lock.write_text(yaml.safe_dump(changed))
    try:
        repair(ticking, ignore)
        assert yaml.safe_load(lock.read_text()) == changed
    finally:
        lock.write_bytes(before)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": 5}', '{"read": {"a": 3}}', '{"write": {"a": 3}}'])
def test_a_table_of_readers_that_dvc_refuses_is_removed_and_named(tmp_path, text):
    (tmp_path / ".dvc/tmp").mkdir(parents=True)
    (tmp_path / ".dvc/tmp/rwlock").write_text(text)
    lines: list[str] = []
    repair(tmp_path, lines.append)
    assert not (tmp_path / ".dvc/tmp/rwlock").exists()
    assert [str(tmp_path / ".dvc/tmp/rwlock") in line for line in lines] == [True]


@pytest.mark.parametrize(
    "text", ["{}", '{"read": {"a": [{"pid": 1, "cmd": "x"}]}, "write": {"b": {"pid": 1, "cmd": "x"}}}']
)
def test_a_table_of_readers_of_dvcs_form_stays(tmp_path, text):
    (tmp_path / ".dvc/tmp").mkdir(parents=True)
    (tmp_path / ".dvc/tmp/rwlock").write_text(text)
    repair(tmp_path, ignore)
    assert (tmp_path / ".dvc/tmp/rwlock").read_text() == text


def test_a_lock_of_another_form_is_not_called_dvc_yaml(ticking):
    lock = ticking / "dvc.lock"
    before = lock.read_bytes()
    lock.write_text("schema: '9.0'\n")
    try:
        with pytest.raises(FacemaskError, match=r"/dvc\.lock is no lock file of DVC .*git restore dvc\.lock"):
            read_stages(ticking)
    finally:
        lock.write_bytes(before)


def test_dvcs_reason_holds_what_it_lists_below_it():
    lines = [
        "ERROR: 'a' is busy, it is being blocked by:",
        "  (PID 12): dvc repro",
        "",
        "If there are no processes with such PIDs, ...",
    ]
    assert Ended(1, lines, None).reason == "'a' is busy, it is being blocked by: (PID 12): dvc repro"
