"""Locks of a workspace: a file in work/ for `facemask up` and one for a run, locked as long as its holder runs.

The kernel releases a lock with the last process of its holder, so that a file left by a killed holder locks nothing,
whatever process has its pid now.
"""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypedDict, Unpack

import psutil

from flows.processes.guard import HELD, STOP_S
from pipeline.errors import FacemaskError
from pipeline.paths import Paths

_POLL_S = 0.1
_GLANCE_S = 1.0  # a process that looks whether it is locked holds it for a moment
_ENDING_S = 2 * STOP_S  # what a killed holder leaves is ended by guards, two levels of them at most


class Holder(TypedDict, total=False):
    """What the holder of a lock writes into its file; `pid` and `since` are always there."""

    pid: int
    since: float  # seconds since 1970
    run_id: str  # of a run: Prefect's id, and the stage that is running, as number `number` of `of`
    stage: str
    number: int
    of: int
    progress: str  # the last progress message of that stage
    port: int  # of `facemask up`, without one where the server runs elsewhere
    page: str
    url: str
    password_file: str | None
    ready: bool


class Lock:
    """A lock that this process holds."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._holder = Holder(pid=os.getpid(), since=time.time())

    def update(self, **facts: Unpack[Holder]) -> None:
        """Write more facts into the lock's file, for other processes to read."""
        self._holder.update(facts)
        text = json.dumps(self._holder).encode()
        os.pwrite(self._descriptor, text, 0)
        os.ftruncate(self._descriptor, len(text))


@contextmanager
def held(name: str) -> Iterator[Lock]:
    """Hold work/NAME.lock, `run` or `up`, for the length of the block. Raises FacemaskError if another process does.

    If the holder was killed, this waits until everything that it had started has ended.
    """
    descriptor = os.open(_path(name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        _lock(name, descriptor)
        lock = Lock(descriptor)
        lock.update()
        HELD.add(descriptor)
        try:
            yield lock
        finally:
            HELD.discard(descriptor)
            os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def holder(name: str) -> Holder | None:
    """The present holder of work/NAME.lock; None if nobody holds it, or only what a killed holder had started."""
    try:
        descriptor = os.open(_path(name), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        found = _read(descriptor)
        return found if _is_running(found["pid"]) else None
    finally:
        os.close(descriptor)
    return None


def refusal(name: str, holder: Holder) -> str:
    """Why a second run, or a second `facemask up`, does not start in this folder."""
    pid = holder["pid"]
    if name == "up":
        where = f" at {holder['page']}" if "page" in holder else ""
        return (
            f"'facemask up' runs already in {Path.cwd()}{where} (pid {pid}): "
            "use that one, or stop it first ('facemask down')"
        )
    stage = f", at stage {holder['stage']}" if "stage" in holder else ""
    return (
        f"a run is going on in {Path.cwd()} (pid {pid}{stage}): "
        f"wait for it ('facemask status' shows its progress), or stop it ('kill {pid}')"
    )


def _path(name: str) -> Path:
    return Paths().work() / f"{name}.lock"


def _lock(name: str, descriptor: int) -> None:
    started = time.monotonic()
    waiting = False
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            found = _read(descriptor)
            ending = not _is_running(found["pid"])
            if ending and not waiting:
                print("facemask: the last run here was killed: waiting until its processes have ended", flush=True)
                waiting = True
            if time.monotonic() - started > (_ENDING_S if ending else _GLANCE_S):
                raise FacemaskError(refusal(name, found)) from None
            time.sleep(_POLL_S)


def _read(descriptor: int) -> Holder:
    """The holder in a lock's file; read again while the holder is writing it."""
    unknown = Holder(pid=0, since=time.time())
    for _ in range(5):
        with suppress(ValueError):
            unknown.update(json.loads(os.pread(descriptor, 10_000, 0)))
            break
        time.sleep(_POLL_S / 5)
    return unknown


def _is_running(pid: int) -> bool:
    """Whether a process has this pid; a zombie does not count, another user's process does."""
    try:
        return pid > 0 and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
