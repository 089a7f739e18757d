import hashlib
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from pipeline.storage import worker_pool as module
from pipeline.storage.worker_pool import WorkerPool, cpu_limit
from tests.conftest import ROOT

GENEROUS_S = 600.0  # for events that take a moment on an idle machine


def add(items):
    """Work that kills its process at a negative number."""
    if min(items) < 0:
        os._exit(9)
    return sum(items)


def lost(item):
    return f"lost {item}"


def run(*pieces):
    with WorkerPool(add, lost, 2) as workers:
        return dict(workers.run(list(pieces)))


def test_every_piece_gets_its_result():
    assert run([1, 2], [3], [4, 5]) == {0: [3], 1: [3], 2: [9]}


def test_an_item_that_kills_its_process_loses_no_other_item():
    assert run([1], [2, 3, -4, 5], [6], [7], [8]) == {0: [1], 1: [2, 3, "lost -4", 5], 2: [6], 3: [7], 4: [8]}


def test_several_items_that_kill_their_process_are_found():
    assert run([-1], [2], [-3, -4]) == {0: ["lost -1"], 1: [2], 2: ["lost -3", "lost -4"]}


def exhaust(items):
    """Work on (number, file) that runs out of memory at its first attempt at 0, and always at a negative number."""
    for number, file in items:
        with Path(file).open("a") as attempts:
            attempts.write(f"{number}\n")
        if number < 0 or (number == 0 and Path(file).read_text().split().count("0") == 1):
            raise MemoryError
    return [number for number, _ in items]


def test_items_that_run_out_of_memory_are_repeated_alone(tmp_path):
    items = [(number, tmp_path / "attempts") for number in (1, 0, -2, 3)]
    with WorkerPool(exhaust, lost_number, 1) as workers:
        ((_, results),) = workers.run([items])
    assert [number for result in results for number in result] == [1, 0, "lost", -2, 3]


def pid_of(items):
    return os.getpid()


def test_processes_are_replaced_after_a_number_of_pieces(monkeypatch):
    monkeypatch.setattr(module, "PIECES_PER_POOL", 2)
    with WorkerPool(pid_of, lost, 1) as workers:
        pids = [parts[0] for _, parts in sorted(workers.run([[n] for n in range(5)]))]
        pids += [parts[0] for _, parts in workers.run([[5]])]
    assert len(pids) == 6 and len(set(pids)) == 3


def refuse(items):
    raise ValueError(items)


def test_an_exception_of_the_work_is_raised():
    with WorkerPool(refuse, lost, 1) as workers, pytest.raises(ValueError, match="1"):
        list(workers.run([[1]]))


def count_tries(items):
    """Work on (number, file): appends each number to the file; a negative one never ends, in C code."""
    for number, file in items:
        with cpu_limit(0.5 if number < 0 else 1000):
            with Path(file).open("a") as tries:
                tries.write(f"{number}\n")
            if number < 0:
                hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)
    return [number for number, _ in items]


def lost_number(item):
    return ["lost", item[0]]


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no CPU timer on this platform")
def test_an_item_above_its_cpu_limit_is_lost_after_two_attempts(tmp_path):
    items = [(number, tmp_path / "tries") for number in (1, 2, 3, -4, 5, 6, 7, 8)]
    with WorkerPool(count_tries, lost_number, 1) as workers:
        ((_, results),) = workers.run([items])
    assert [number for result in results for number in result] == [1, 2, 3, "lost", -4, 5, 6, 7, 8]
    assert (tmp_path / "tries").read_text().split().count("-4") == 2


def timers(items):
    with cpu_limit(1000):
        within = signal.getitimer(signal.ITIMER_PROF)[0]
    return within > 0, signal.getitimer(signal.ITIMER_PROF)[0] > 0


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no CPU timer on this platform")
def test_the_cpu_limit_applies_to_its_block_in_a_worker_only():
    with WorkerPool(timers, lost, 1) as workers:
        assert list(workers.run([[0]])) == [(0, [(True, False)])]
    assert timers([0]) == (False, False)


def hold(items):
    """Endless work in Python code or in C code without the GIL; a file shows that it has started."""
    kind, folder = items[0]
    beside = Path(folder, f"{os.getpid()}.part")
    try:
        beside.write_text(kind)
        beside.rename(beside.with_suffix(".pid"))
        if kind == "c":
            hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)
        while True:
            time.sleep(0.1)
    finally:
        (Path(folder) / f"{os.getpid()}.cleaned").touch()


POOL = """
import sys
from pipeline.command import run
from pipeline.storage.worker_pool import WorkerPool
from tests.pipeline.test_worker_pool import hold, lost

def main():
    with WorkerPool(hold, lost, 2) as workers:
        list(workers.run([[(kind, sys.argv[1])] for kind in sys.argv[2]]))

if __name__ == "__main__":
    run(main)
"""


def is_running(pid):
    """Return whether a process exists and is not a zombie, which nobody here reaps."""
    if sys.platform != "linux":
        return subprocess.run(["ps", "-p", str(pid)], capture_output=True, check=False).returncode == 0
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition, what):
    deadline = time.monotonic() + GENEROUS_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


@pytest.fixture
def pool(tmp_path):
    """Return a function that starts a process with two busy workers and returns it with their pids."""
    started = []

    def start(kinds):
        (tmp_path / "pool.py").write_text(POOL)
        process = subprocess.Popen(
            [sys.executable, str(tmp_path / "pool.py"), str(tmp_path), kinds],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        wait_until(lambda: len(list(tmp_path.glob("*.pid"))) == 2 or process.poll() is not None, "workers start")
        return process, [int(path.stem) for path in tmp_path.glob("*.pid")]

    yield start
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stderr.close()


@pytest.mark.parametrize("kinds", ["pp", "cc"], ids=["python code", "C code"])
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_workers_end_with_the_process_that_opened_the_pool(pool, sent, kinds):
    process, pids = pool(kinds)
    assert len(pids) == 2 and all(map(is_running, pids))
    os.kill(process.pid, sent)
    wait_until(lambda: process.poll() is not None, "the process ends")
    wait_until(lambda: not any(map(is_running, pids)), "its workers end")


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGTERM, 128 + signal.SIGTERM), (signal.SIGINT, 1)])
def test_a_stopped_pool_lets_its_workers_clean_up(pool, tmp_path, sent, status):
    process, pids = pool("pp")
    os.kill(process.pid, sent)
    printed = process.communicate()[1]
    assert (process.returncode, printed) == (status, "facemask: stopped: to finish, run the same command again\n")
    assert sorted(path.stem for path in tmp_path.glob("*.cleaned")) == sorted(map(str, pids))


def test_ctrl_c_at_a_terminal_which_reaches_the_workers_too_ends_without_a_traceback(pool):
    process, _ = pool("pp")
    os.killpg(process.pid, signal.SIGINT)
    assert process.communicate()[1] == "facemask: stopped: to finish, run the same command again\n"


def test_workers_of_a_killed_process_clean_up(pool, tmp_path):
    process, _ = pool("pp")
    process.kill()
    wait_until(lambda: len(list(tmp_path.glob("*.cleaned"))) == 2, "the workers clean up")
