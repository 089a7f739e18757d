"""One `facemask up` and one run in a folder: the second is told so, whatever became of the first."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flows.processes.workspace_lock import Facts, held, holder
from pipeline.errors import FacemaskError
from tests.flows.conftest import ROOT, is_running, python

HOLD = """
import os, subprocess, sys, time
from pathlib import Path
from flows.processes.guard import guarded
from flows.processes.workspace_lock import held, held_descriptors
with held(sys.argv[1], str) as lock:
    lock.tell(stage="train", number=3, of=4, page="http://there")
    command = [sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(300)"]
    with guarded(command, cwd=Path.cwd(), env=os.environ, output=subprocess.PIPE, hold=held_descriptors()) as process:
        print(process.stdout.readline().strip(), flush=True)
        time.sleep(300)
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


def refusal(facts: Facts) -> str:
    return f"held by {facts['pid']}"


def take(name: str) -> None:
    with held(name, refusal):
        pass


def test_a_second_holder_is_refused_with_what_the_first_tells():
    with other_process("run") as (process, _), pytest.raises(FacemaskError, match=f"held by {process.pid}"):
        take("run")


def test_who_asks_is_told_what_the_holder_does():
    with other_process("run") as (process, _):
        told = holder("run")
        assert told is not None
        assert (told["pid"], told["stage"], told["page"]) == (process.pid, "train", "http://there")


def test_a_lock_that_was_given_back_has_no_holder():
    take("run")
    assert holder("run") is None


def test_a_killed_holder_is_none_even_before_all_that_it_had_started_has_ended():
    with other_process("run") as (process, _):
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert holder("run") is None


def test_after_a_kill_the_next_holder_begins_when_all_has_ended():
    with other_process("run") as (process, started):
        process.send_signal(signal.SIGKILL)
        process.wait()
        with held("run", refusal):
            assert not is_running(started)


def test_a_file_left_behind_does_not_lock(here):
    (here / "work").mkdir()
    (here / "work" / "run.lock").write_text(f'{{"pid": {os.getppid()}, "since": 1}}')
    with held("run", refusal):
        assert holder("run") is not None


@pytest.mark.parametrize(
    ("command", "name", "told"),
    [
        ("run", "run", "a run is going on in {here} (pid {pid}, at stage train): wait for it"),
        ("up", "up", "'facemask up' runs already in {here} at http://there (pid {pid}): use that one"),
    ],
)
def test_a_second_one_in_the_folder_gets_one_line_and_status_1(toy, monkeypatch, command, name, told):
    monkeypatch.chdir(toy)
    with other_process(name) as (process, _):
        second = python("-m", "flows.cli", command, cwd=toy)
    assert second.returncode == 1
    assert second.stdout.count("\n") == 1
    assert second.stdout.startswith("facemask: error: " + told.format(here=toy, pid=process.pid))


def test_down_where_nothing_is_up_is_no_error(toy):
    done = python("-m", "flows.cli", "down", cwd=toy)
    assert (done.returncode, done.stdout) == (0, f"facemask: not up in {toy}: nothing to stop\n")


def test_status_where_nothing_is_up_says_what_to_do_with_status_1(toy):
    told = python("-m", "flows.cli", "status", cwd=toy)
    assert told.returncode == 1
    assert told.stdout.startswith(f"facemask: not up in {toy}\n")
    assert "facemask up" in told.stdout


def test_status_tells_of_a_run_without_a_server(toy, monkeypatch):
    monkeypatch.chdir(toy)
    with other_process("run"):
        told = python("-m", "flows.cli", "status", cwd=toy)
    assert "going on  stage 3 of 4: train, for 0:0" in told.stdout
