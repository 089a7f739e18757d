"""Run a command so that no process it starts outlives it, or outlives the process that started the guard.

`python guard.py COMMAND...` runs COMMAND and ends it, with all of its descendants, when

* the guard receives SIGTERM, SIGINT or SIGHUP,
* the guard's stdin closes, which is how the parent's death shows, kill -9 included,
* COMMAND itself ends and leaves descendants behind.

It is needed because `dvc repro` killed by a signal leaves its stage's command running, which would then write the same
output as the next run. Every descendant gets SIGTERM first, and SIGKILL after a grace time. A nested guard ends its own
descendants: the outer one signals the nested guard only, and waits for it. On Linux every descendant is found,
elsewhere those whose parents still run, and COMMAND's process group. COMMAND's own process is the root process.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import psutil

GRACE_S = 10.0  # from SIGTERM to SIGKILL: time for a stage to save its state
ROOT_GRACE_S = 20.0  # the same for the root process with --root-last: time for DVC to record what its stage did
STOPPED = 128 + signal.SIGTERM  # exit status of a guard that was stopped
_KILL_S = 2.0  # how long to wait for processes to vanish after SIGKILL
STOP_S = GRACE_S + ROOT_GRACE_S + 2 * _KILL_S  # the longest that a guard takes to end everything

HELD: set[int] = set()
"""Descriptors, as those of locks, that each guard of this process keeps open until all its processes have ended."""

_WATCHED = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD}
_ROOT_LAST = "--root-last"
_POLL_S = 0.05
_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


@contextmanager
def guarded(
    command: Sequence[str],
    cwd: Path,
    env: Mapping[str, str],
    output: int | IO[str] | None = None,
    root_last: bool = False,
) -> Iterator[subprocess.Popen[str]]:
    """Start `command` under a guard; leaving the block, by whatever exception, ends what still runs of it.

    `output`: where stdout and stderr go together, subprocess.PIPE for `process.stdout`; None: this process's own.
    `root_last`: end the command's descendants first, then let it end by itself before it gets SIGTERM and SIGKILL.
    """
    process = subprocess.Popen(
        [sys.executable, "-I", str(Path(__file__).resolve()), *[_ROOT_LAST] * root_last, *command],
        cwd=cwd,
        env=dict(env),
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=output if output is None else subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        pass_fds=sorted(HELD),
        start_new_session=True,  # a terminal's Ctrl-C reaches the parent only, which then ends this in order
    )
    try:
        yield process
    finally:
        stop(process)


def stop(process: subprocess.Popen[str]) -> int:
    """End a guard's command, if it still runs, and wait until every process of it is gone. Returns the exit status."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(2 * STOP_S)  # twice: there may be a guard below the guard
        except subprocess.TimeoutExpired:  # a suspended guard, or one that hangs
            process.kill()
    if process.stdin:
        with suppress(OSError):
            process.stdin.close()
    return process.wait()


def run_guarded(command: Sequence[str], grace_s: float = GRACE_S, root_last: bool = False) -> int:
    """Run `command` to its end, or until a stop signal, in the guard's process. Returns a shell's exit status."""
    for entry in Path("/dev/fd").iterdir():  # inherited descriptors are held by this process, not by the command
        with suppress(OSError):  # the listing's own
            os.set_inheritable(int(entry.name), int(entry.name) <= 2)
    # Blocked before anything starts and taken one by one by sigwait: without handlers no signal comes at a bad moment.
    signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
    if sys.platform == "linux":
        # Become the parent of orphaned descendants, so that they can be waited for: in a container without an init no
        # other process reaps them, and DVC takes a zombie for a running process that holds its lock.
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        root = os.posix_spawnp(
            command[0],
            list(command),
            os.environ,
            file_actions=[(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)],
            setpgroup=0,
            setsigmask=[],
        )
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)
        return 127
    threading.Thread(target=_watch_parent, daemon=True).start()
    status: int | None = None
    stopped = False
    while status is None and not stopped:
        stopped = signal.sigwait(_WATCHED) != signal.SIGCHLD
        status = _reap(root)
    status = _end_all(root, grace_s, root_last, status)
    if stopped or status is None:
        return STOPPED
    return status if status >= 0 else 128 - status


def _watch_parent() -> None:
    """Wait for stdin to close, then signal the main thread."""
    with suppress(OSError):
        while os.read(0, 1024):
            pass
    os.kill(os.getpid(), signal.SIGTERM)


def _reap(root: int, status: int | None = None) -> int | None:
    """Reap every child that has ended. Returns the root process's exit code if it was one of them, else `status`."""
    with suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == root:
                status = os.waitstatus_to_exitcode(ended[1])
    return status


def _end_all(root: int, grace_s: float, root_last: bool, status: int | None) -> int | None:
    """Send SIGTERM, and SIGKILL after its grace time, to every process that is left. Returns the root's exit code.

    Processes that start meanwhile are ended too. Nothing gets SIGKILL as long as a nested guard runs, which may be what
    a process waits for; after STOP_S everything does.
    """
    began = time.monotonic()
    signalled: dict[int, float] = {}  # pid -> when it got SIGTERM, or when the root was left to end by itself
    while _any_child_left() and (elapsed := time.monotonic() - began) < STOP_S + _KILL_S:
        left = _descendants()
        has_guard = any(map(_is_guard, left.values()))
        for pid, process in left.items():
            is_last = root_last and pid == root
            patience_s = STOP_S if has_guard else ROOT_GRACE_S if is_last else grace_s
            if elapsed > STOP_S or time.monotonic() - signalled.get(pid, time.monotonic()) > patience_s:
                _send(process, signal.SIGKILL)
            elif pid not in signalled and not (is_last and len(left) > 1 and elapsed < grace_s):
                signalled[pid] = time.monotonic()
                _send(process, signal.SIGTERM)
        time.sleep(_POLL_S)
        status = _reap(root, status)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(root, signal.SIGKILL)  # what is left of the group where orphans cannot be adopted
    return _reap(root, status)


def _send(process: psutil.Process, sent: signal.Signals) -> None:
    with suppress(psutil.Error):  # it has just ended, or is another user's
        process.send_signal(sent)


def _any_child_left() -> bool:
    """Whether this process has children, zombies that cannot be reaped yet included.

    A child that has ended counts until the last of its threads has ended: DVC takes it for running as long.
    """
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _descendants() -> dict[int, psutil.Process]:
    """The descendants of this process by pid, parents first, without zombies and what is below a nested guard.

    More than the process group: Prefect's worker, for one, starts each run in its own session.
    """
    children: dict[int, list[psutil.Process]] = {}
    for process in psutil.process_iter(["ppid", "status"]):
        if process.info["status"] != psutil.STATUS_ZOMBIE:
            children.setdefault(process.info["ppid"], []).append(process)
    found: dict[int, psutil.Process] = {}
    parents = [os.getpid()]
    while parents:
        for process in children.get(parents.pop(), []):
            found[process.pid] = process
            if not _is_guard(process):
                parents.append(process.pid)
    return found


def _is_guard(process: psutil.Process) -> bool:
    try:
        command = process.cmdline()
    except psutil.Error:
        return False
    return command[1:2] == ["-I"] and Path(command[2]).name == Path(__file__).name


if __name__ == "__main__":
    last = sys.argv[1] == _ROOT_LAST
    result = run_guarded(sys.argv[1 + last :], root_last=last)
    sys.stdout.flush()
    os._exit(result)  # the watching thread may be inside read()
