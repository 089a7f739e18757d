"""Run a command so that nothing of it outlives its parent.

`python guard.py COMMAND...` runs COMMAND and ends it, with all that it started, when

* the guard gets SIGTERM, SIGINT or SIGHUP,
* its stdin closes, which is what the parent's death looks like, kill -9 included,
* COMMAND itself ends and leaves others behind.

It is needed because `dvc repro` killed by a signal leaves its stage's command running, which would then write the same
output as the next run. All get SIGTERM first, and SIGKILL after a grace time. On Linux that reaches every descendant,
elsewhere COMMAND's process group. Standard library only: it is run as a file, without site-packages, and starts in
some 20 ms.
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
from types import FrameType
from typing import IO

GRACE_S = 10.0  # from SIGTERM to SIGKILL: time for a stage to save its state
STOPPED = 128 + signal.SIGTERM  # the exit status of a guard that was told to stop

LINUX = sys.platform == "linux"
_WATCHED = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD}
_LEADER_GRACE_S = 3.0  # for a leader that is told last: what it ran has ended in order, there is nothing to save
_LEADER_LAST = "--leader-last"
_POLL_S = 0.05
_KILL_S = 2.0  # how long to wait for all to be gone after SIGKILL
_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


# --- the parent's side ---


@contextmanager
def guarded(
    command: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    stdout: int | IO[str] | None = None,
    stderr: int | IO[str] | None = None,
    leader_last: bool = False,
    hold: Sequence[int] = (),
) -> Iterator[subprocess.Popen[str]]:
    """Start `command` under a guard; leaving the block, by whatever exception, ends what still runs of it.

    `leader_last`: what the command started is ended before the command itself is told (Linux; elsewhere all at once).
    `hold`: descriptors that the guard, and nobody below it, keeps open until all has ended, as those of a lock.
    """
    process = subprocess.Popen(
        [sys.executable, "-IS", str(Path(__file__).resolve()), *[_LEADER_LAST] * leader_last, *command],
        cwd=cwd,
        env=dict(env),
        stdin=subprocess.PIPE,
        stdout=stdout,
        stderr=stderr,
        encoding="utf-8",
        errors="replace",
        pass_fds=hold,
        start_new_session=True,  # a terminal's Ctrl-C reaches the parent only, which then ends this in order
    )
    try:
        yield process
    finally:
        stop(process)


def stop(process: subprocess.Popen[str]) -> int:
    """End a guard's command, if it still runs, and wait until all of it is gone."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(2 * GRACE_S + 3 * _KILL_S)
        except subprocess.TimeoutExpired:  # a stopped or wedged guard
            process.kill()
    if process.stdin:
        with suppress(OSError):
            process.stdin.close()
    return process.wait()


def interrupt_on_sigterm() -> None:
    """Let SIGTERM end this program as Ctrl-C does: in order, so that what it guards is stopped from the inside out."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


# --- the guard itself ---


def run_guarded(command: Sequence[str], grace_s: float = GRACE_S, leader_last: bool = False) -> int:
    """Run `command` to its end, or until told to stop. Returns the exit status a shell would give."""
    for entry in Path("/dev/fd").iterdir():  # what the parent handed on is held here, not below
        with suppress(OSError):  # the listing's own
            os.set_inheritable(int(entry.name), int(entry.name) <= 2)
    # Blocked before anything starts and taken one by one by sigwait: without handlers no signal comes at a bad moment.
    signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
    _adopt_orphans()
    try:
        leader = os.posix_spawnp(
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
    told_to_stop = False
    while status is None and not told_to_stop:
        told_to_stop = signal.sigwait(_WATCHED) != signal.SIGCHLD
        status = _reap(leader)
    if leader_last and LINUX and status is None:
        _send(leader, signal.SIGTERM, spared=leader)
        deadline = time.monotonic() + grace_s
        while set(_descendants()) - {leader} and time.monotonic() < deadline:
            time.sleep(_POLL_S)
            status = _reap(leader, status)
        grace_s = _LEADER_GRACE_S
    status = _end_rest(leader, grace_s, status)
    if told_to_stop or status is None:
        return STOPPED
    return status if status >= 0 else 128 - status


def _watch_parent() -> None:
    """Wait for stdin to close, then tell the main thread."""
    with suppress(OSError):
        while os.read(0, 1024):
            pass
    os.kill(os.getpid(), signal.SIGTERM)


def _adopt_orphans() -> None:
    """Become the parent of the command's orphaned descendants (Linux), so that they can be waited for.

    In a container without an init nobody else reaps them, and to DVC a zombie is a live process that holds its lock.
    """
    if LINUX:
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _reap(leader: int, status: int | None = None) -> int | None:
    """Reap every child that has ended. Returns the leader's exit code if it was among them, else `status`."""
    with suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == leader:
                status = os.waitstatus_to_exitcode(ended[1])
    return status


def _end_rest(leader: int, grace_s: float, status: int | None) -> int | None:
    """SIGTERM, and SIGKILL after `grace_s`, to all that are left. Returns the leader's exit code."""
    for sent, wait_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, _KILL_S)):
        deadline = time.monotonic() + wait_s
        _send(leader, sent)
        while _anyone_left(leader) and time.monotonic() < deadline:
            time.sleep(_POLL_S)
            if sent == signal.SIGKILL:  # to those who were started meanwhile, too
                _send(leader, sent)
            status = _reap(leader, status)
    return _reap(leader, status)


def _send(leader: int, sent: signal.Signals, spared: int | None = None) -> None:
    for target in _descendants() if LINUX else [-leader]:
        if target != spared:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(target, sent)


def _anyone_left(leader: int) -> bool:
    if LINUX:
        # Whoever is left is a child, or below one. A child that has ended counts until it can be reaped, which is when
        # the last of its threads has ended: DVC takes it for alive as long.
        try:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return False
        return True
    try:
        os.killpg(leader, 0)
    except (ProcessLookupError, PermissionError):  # macOS says EPERM of zombies
        return False
    return True


def _descendants() -> list[int]:
    """This process's children, their children and so on, parents first, zombies left out (Linux).

    More than the group: Prefect's worker, for one, starts each run in a session of its own, and leaves it when stopped.
    """
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has just ended
            state, parent = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()[:2]
            if state != "Z":
                children.setdefault(int(parent), []).append(int(folder.name))
    found: list[int] = []
    waiting = [os.getpid()]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: guard.py COMMAND [ARGUMENT ...]   (stdin: a pipe that the parent holds open)")
    last = sys.argv[1] == _LEADER_LAST
    result = run_guarded(sys.argv[1 + last :], leader_last=last)
    sys.stdout.flush()
    os._exit(result)  # the watching thread may be inside read()
