"""Who works in this workspace: a file in work/ for `facemask up` and one for a run, locked as long as its holder lives.

The kernel drops a lock with its holder's last process, so that a file left by a killed one is never taken for a live
one, whatever has its pid now.
"""

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flows.processes.guard import STOP_S
from pipeline.errors import FacemaskError
from pipeline.storage.files import work_folder

Facts = Mapping[str, Any]  # what a holder tells of itself: always `pid` and `since` (seconds since 1970)

_POLL_S = 0.1
_GLANCE_S = 1.0  # somebody who looks whether it is locked holds it for a moment
_ENDING_S = 2 * STOP_S  # what a killed holder leaves is ended by guards, one below another at most


class Lock:
    """A lock that this process holds."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._facts: dict[str, Any] = {"pid": os.getpid(), "since": time.time()}

    def tell(self, **facts: Any) -> None:
        """Let others know more of what is done under this lock."""
        self._facts |= facts
        text = json.dumps(self._facts).encode()
        os.pwrite(self._descriptor, text, 0)
        os.ftruncate(self._descriptor, len(text))


_held: set[int] = set()


def held_descriptors() -> list[int]:
    """The locks of this process, for what it starts to hold on to: they are free only when that has ended too."""
    return sorted(_held)


@contextmanager
def held(name: str, refusal: Callable[[Facts], str]) -> Iterator[Lock]:
    """Hold work/NAME.lock for the length of the block. Raises FacemaskError with `refusal` if another one does.

    If the holder was killed and what it had started is still ending, that is waited for.
    """
    descriptor = os.open(_path(name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        _lock(descriptor, refusal)
        lock = Lock(descriptor)
        lock.tell()
        _held.add(descriptor)
        try:
            yield lock
        finally:
            _held.discard(descriptor)
            os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def holder(name: str) -> Facts | None:
    """What the present holder of work/NAME.lock tells of itself; None if none, or only what a killed one left."""
    try:
        descriptor = os.open(_path(name), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            facts = _facts(descriptor)
            return facts if _lives(facts["pid"]) else None
        return None
    finally:
        os.close(descriptor)


def run_is_going_on(facts: Facts) -> str:
    """Why a second run in this folder does not start."""
    stage = f", at stage {facts['stage']}" if "stage" in facts else ""
    return (
        f"a run is going on in {Path.cwd()} (pid {facts['pid']}{stage}): "
        f"wait for it ('facemask status' tells how far it is), or stop it ('kill {facts['pid']}')"
    )


def up_already(facts: Facts) -> str:
    """Why a second `facemask up` in this folder does not start."""
    where = f" at {facts['page']}" if "page" in facts else ""
    return (
        f"'facemask up' runs already in {Path.cwd()}{where} (pid {facts['pid']}): "
        "use that one, or stop it first ('facemask down')"
    )


def _path(name: str) -> Path:
    return work_folder() / f"{name}.lock"


def _lock(descriptor: int, refusal: Callable[[Facts], str]) -> None:
    started = time.monotonic()
    waiting = False
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            facts = _facts(descriptor)
            ending = not _lives(facts["pid"])
            if ending and not waiting:
                print("facemask: the last one here was killed: waiting for what it had started to end", flush=True)
                waiting = True
            if time.monotonic() - started > (_ENDING_S if ending else _GLANCE_S):
                raise FacemaskError(refusal(facts)) from None
            time.sleep(_POLL_S)


def _facts(descriptor: int) -> Facts:
    """The holder's facts; read again while it is just writing them."""
    unknown: Facts = {"pid": 0, "since": time.time()}
    for _ in range(5):
        try:
            return {**unknown, **json.loads(os.pread(descriptor, 10_000, 0))}
        except ValueError:
            time.sleep(_POLL_S / 5)
    return unknown


def _lives(pid: int) -> bool:
    """Whether there is such a process, a zombie left out where /proc tells; another user's counts as alive."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid > 0
