"""The files in a folder that the user provides."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import FacemaskError

_SYSTEM_FOLDERS = frozenset(  # of macOS, Synology, QNAP and Windows: thumbnails, resource forks and deleted files
    {"__macosx", "@eadir", "#recycle", "@recycle", "@recently-snapshot", "$recycle.bin", "recycler"}
    | {"system volume information", "lost+found"}
)


@dataclass(frozen=True)
class FileState:
    """A file's state on disk, without its content."""

    path: str  # within the folder, with /
    bytes: int
    mtime_ns: int
    ctime_s: float  # when it arrived or changed, seconds since 1970; copying or unpacking may set an old mtime


def files_under(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield all files under a folder, in order, as (path within it, with /; path on disk).

    Hidden files and folders (is_hidden), FIFOs, sockets and devices are left out; a broken link is listed. Files with
    names that are not UTF-8 are left out with a printed line: no table can store such a name.
    """
    not_utf8: list[str] = []
    for path, on_disk in _walk(folder):
        if is_utf8(path):
            yield path, on_disk
        else:
            not_utf8.append(path)
    if not_utf8:
        print(
            f"{printable(str(folder))}: {len(not_utf8):,} files left out (names that are not UTF-8): rename them; "
            f"the first is {printable(not_utf8[0])}",
            flush=True,
        )


def file_states(place: Path) -> list[FileState]:
    """Return the state of each file under a folder, or of a single file; none if there is nothing at `place`."""
    states = []
    for path, on_disk in [(place.name, place)] if place.is_file() else _walk(place):
        try:
            found = on_disk.stat()
        except OSError:  # just removed, or a broken link
            continue
        states.append(FileState(path, found.st_size, found.st_mtime_ns, found.st_ctime))
    return states


def is_hidden(name: str) -> bool:
    """Return whether a file or folder is not the user's: its name starts with a dot, or the system made the folder."""
    return name.startswith(".") or name.lower() in _SYSTEM_FOLDERS


def is_utf8(name: str) -> bool:
    """Return whether a file name is valid UTF-8: Python reads other bytes of a name as lone surrogates."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def printable(name: str) -> str:
    """Return a file name as text that can be printed: bytes that are not UTF-8 become escapes such as \\xe9."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def require_utf8(path: Path) -> None:
    """Raise FacemaskError for a path that is not UTF-8."""
    if not is_utf8(str(path)):
        raise FacemaskError(f"the name of {printable(str(path))} is not UTF-8: rename it, then run again")


def _walk(folder: Path) -> Iterator[tuple[str, Path]]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        for name in sorted(names):
            if not name.startswith("."):
                on_disk = Path(parent, name)
                if not _is_special(on_disk):
                    yield on_disk.relative_to(folder).as_posix(), on_disk


def _is_special(path: Path) -> bool:
    """Return whether `path`, or the target of the link, exists but is neither a regular file nor a folder."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
