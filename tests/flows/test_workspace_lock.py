"""One `facemask up` and one run in a folder: a second one is refused, and a killed one is waited for."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flows.processes.workspace_lock import held, holder
from pipeline.errors import FacemaskError
from tests.flows.conftest import ROOT, is_running, python

HOLD = """
import os, subprocess, sys, time
from pathlib import Path
from flows.processes.guard import guarded
from flows.processes.workspace_lock import held
with held(sys.argv[1]) as lock:
    lock.update(stage="train", number=3, of=4, page="http://there")
    command = [sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(3600)"]
    with guarded(command, cwd=Path.cwd(), env=os.environ, output=subprocess.PIPE) as process:
        print(process.stdout.readline().strip(), flush=True)
        time.sleep(3600)
"""


@contextmanager
def other_process(name: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process that holds the lock, and the pid of what it has started."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", HOLD, name], stdout=subprocess.PIPE, text=True, env=env) as process:
        assert process.stdout is not None
        try:
            yield process, int(process.stdout.readline())
        finally:
            process.kill()


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FACEMASK_WORK", raising=False)
    return tmp_path


def take(name: str) -> None:
    with held(name):
        pass


def test_a_second_holder_is_refused_with_the_firsts_pid():
    with (
        other_process("run") as (process, _),
        pytest.raises(FacemaskError, match=rf"\(pid {process.pid}, at stage train\)"),
    ):
        take("run")


def test_other_processes_read_what_the_holder_writes():
    with other_process("run") as (process, _):
        found = holder("run")
        assert found is not None
        assert (found["pid"], found["stage"], found["page"]) == (process.pid, "train", "http://there")


def test_a_released_lock_has_no_holder():
    take("run")
    assert holder("run") is None


def test_a_killed_holder_is_none_even_while_its_processes_run():
    with other_process("run") as (process, _):
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert holder("run") is None


def test_after_a_kill_the_next_holder_begins_when_all_has_ended():
    with other_process("run") as (process, started):
        process.send_signal(signal.SIGKILL)
        process.wait()
        with held("run"):
            assert not is_running(started)


def test_a_file_left_behind_does_not_lock(here):
    (here / "work").mkdir()
    (here / "work" / "run.lock").write_text(f'{{"pid": {os.getppid()}, "since": 1}}')
    with held("run"):
        assert holder("run") is not None


@pytest.mark.parametrize(
    ("command", "name", "refused"),
    [
        ("run", "run", "a run is going on in {here} (pid {pid}, at stage train): wait for it"),
        ("up", "up", "'facemask up' runs already in {here} at http://there (pid {pid}): use that one"),
    ],
)
def test_a_second_one_in_the_folder_gets_one_line_and_status_1(toy, monkeypatch, command, name, refused):
    monkeypatch.chdir(toy)
    with other_process(name) as (process, _):
        second = python("-m", "flows.cli", command, cwd=toy)
    assert second.returncode == 1
    assert second.stdout.count("\n") == 1
    assert second.stdout.startswith("facemask: error: " + refused.format(here=toy, pid=process.pid))


def test_down_where_nothing_is_up_is_no_error(toy):
    done = python("-m", "flows.cli", "down", cwd=toy)
    assert (done.returncode, done.stdout) == (0, f"facemask: not up in {toy}: nothing to stop\n")


def test_status_where_nothing_is_up_says_what_to_do_with_status_1(toy):
    shown = python("-m", "flows.cli", "status", cwd=toy)
    assert shown.returncode == 1
    assert shown.stdout.startswith(f"facemask: not up in {toy}\n")
    assert "facemask up" in shown.stdout


def test_status_shows_a_run_without_a_server(toy, monkeypatch):
    monkeypatch.chdir(toy)
    with other_process("run"):
        shown = python("-m", "flows.cli", "status", cwd=toy)
    assert re.search(r"going on  stage 3 of 4: train, for \d+:\d\d \(pid ", shown.stdout)
