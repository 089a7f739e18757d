"""Nothing that a guard runs outlives it, or the process that started it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from flows.processes import guard
from tests.flows.conftest import ROOT, is_running, wait_for

# Like dvc, it starts a program, which sleeps; it prints that program's pid, and waits.
SLEEPER = "import subprocess; p = subprocess.Popen(['sleep', '3600']{more}); print(p.pid, flush=True); p.wait()"


def start(code: str) -> tuple[subprocess.Popen[str], int]:
    """A guard over `code`, and the pid of the sleep that the code starts."""
    process = subprocess.Popen(
        [sys.executable, "-I", guard.__file__, sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    return process, int(process.stdout.readline())


@pytest.mark.parametrize("more", ["", ", start_new_session=True"], ids=["its_group", "a_session_of_its_own"])
def test_sigterm_ends_all_that_the_command_started(more):
    if more and sys.platform != "linux":
        pytest.skip("only Linux finds processes that left the group")
    process, sleep = start(SLEEPER.format(more=more))
    process.terminate()
    assert process.wait() == guard.STOPPED
    assert not is_running(sleep)


def test_a_closed_stdin_ends_all():
    process, sleep = start(SLEEPER.format(more=""))
    process.stdin.close()
    assert process.wait() == guard.STOPPED
    assert not is_running(sleep)


def test_kill_9_of_the_parent_ends_all(tmp_path):
    parent = f"""
import os, subprocess, sys
from pathlib import Path
sys.path.insert(0, {str(ROOT)!r})
from flows.processes.guard import guarded
code = {SLEEPER.format(more="")!r}
with guarded([sys.executable, "-c", code], cwd=Path.cwd(), env=os.environ, output=subprocess.PIPE) as process:
    print(process.stdout.readline().strip(), flush=True)
    process.wait()
"""
    process = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True)
    sleep = int(process.stdout.readline())
    process.kill()
    process.wait()
    wait_for(lambda: not is_running(sleep), "the sleep ends")


def test_kill_9_of_the_command_ends_what_it_started():
    process, sleep = start(SLEEPER.format(more=""))
    command = int(Path(f"/proc/{sleep}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(command, signal.SIGKILL)
    assert process.wait() == 128 + signal.SIGKILL
    assert not is_running(sleep)


def test_one_that_ignores_sigterm_is_killed_after_the_grace_time():
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(3600)"
    )
    code = (
        "import sys; from flows.processes.guard import run_guarded; "
        f"sys.exit(run_guarded([sys.executable, '-c', {stubborn!r}], grace_s=0.5))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    process.stdout.readline()
    process.terminate()
    assert process.wait() == guard.STOPPED


@pytest.mark.parametrize("code", [0, 3])
def test_the_commands_exit_status_is_kept(code):
    with guard.guarded([sys.executable, "-c", f"raise SystemExit({code})"], cwd=Path.cwd(), env=os.environ) as process:
        assert process.wait() == code


def test_a_missing_program_gives_a_shells_message_and_status(capfd):
    with guard.guarded(["/nowhere/program"], cwd=Path.cwd(), env=os.environ) as process:
        assert process.wait() == 127
    assert "/nowhere/program: No such file or directory" in capfd.readouterr().err


def test_leaving_the_block_by_an_exception_ends_the_command():
    code = [sys.executable, "-c", SLEEPER.format(more="")]
    with (
        pytest.raises(KeyError),
        guard.guarded(code, cwd=Path.cwd(), env=os.environ, output=subprocess.PIPE) as process,
    ):
        sleep = int(process.stdout.readline())
        raise KeyError
    assert process.returncode == guard.STOPPED
    assert not is_running(sleep)


def test_with_root_last_the_command_ends_by_itself_once_its_descendants_have_ended(tmp_path):
    # As DVC does: it ignores SIGTERM, and writes something when what it had started has ended.
    code = f"""
import signal, subprocess
signal.signal(signal.SIGTERM, lambda *_: None)
sleep = subprocess.Popen(["sleep", "3600"])
print(sleep.pid, flush=True)
sleep.wait()
open({str(tmp_path / "recorded")!r}, "w").write("whole")
"""
    command = [sys.executable, "-c", code]
    with guard.guarded(command, cwd=tmp_path, env=os.environ, output=subprocess.PIPE, root_last=True) as process:
        process.stdout.readline()
    assert process.returncode == guard.STOPPED
    assert (tmp_path / "recorded").read_text() == "whole"


def test_an_outer_guard_leaves_the_processes_of_a_nested_guard_to_it(tmp_path):
    # The innermost command needs longer than SIGTERM's grace time of the outer guard.
    inner = """
import signal, time
signal.signal(signal.SIGTERM, lambda *_: print("late", flush=True))
print(1, flush=True)
time.sleep(2)
"""
    nested = [sys.executable, "-I", guard.__file__, "--root-last", sys.executable, "-c", inner]
    relay = f"import subprocess; subprocess.Popen({nested!r}, stdin=subprocess.PIPE).wait()"
    outer = (
        "import sys; from flows.processes.guard import run_guarded; "
        f"sys.exit(run_guarded([sys.executable, '-c', {relay!r}], grace_s=0.2))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", outer],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout.readline() == "1\n"
    process.terminate()
    assert process.wait() == guard.STOPPED
    assert process.stdout.read() == "late\n"
