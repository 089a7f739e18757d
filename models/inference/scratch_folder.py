"""A private folder for temporary files, removed when its owner ends, or by the next owner if it was killed."""

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

_PREFIX = "facemask-app-"

WRITING = threading.Lock()
"""Held while a file is written into the folder: the removal waits for it, or the write would create the folder anew."""


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yield a new folder, readable by this user only, in the system's folder for temporary files; remove it at the end.

    The owner holds a lock on the folder, which the system releases when the owner is killed. So folders of killed
    owners are known by their free locks, and are removed first.
    """
    _remove_abandoned(Path(tempfile.gettempdir()))
    folder, lock = _new_locked_folder()
    try:
        yield folder
    finally:
        with WRITING:
            shutil.rmtree(folder)
        os.close(lock)


def _new_locked_folder() -> tuple[Path, int]:
    """A new folder, and the file descriptor that holds its lock."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX)).resolve()
        with contextlib.suppress(FileNotFoundError):  # another process removed it before it was locked
            lock = os.open(folder, os.O_RDONLY)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if folder.exists():
                return folder, lock
            os.close(lock)


def _remove_abandoned(temporary: Path) -> None:
    """Remove this user's folders in `temporary` that no running process has locked."""
    for folder in temporary.glob(f"{_PREFIX}*"):
        try:
            status = folder.lstat()
            if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
                continue
            lock = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW)
        except FileNotFoundError:
            continue  # another process removed it
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:
            pass  # its owner is running
        finally:
            os.close(lock)
