"""The files in a folder that the user provides."""

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import FacemaskError

_SYSTEM_FOLDERS = frozenset(  # of macOS, Synology, QNAP and Windows: thumbnails, resource forks and deleted files
    {"__macosx", "@eadir", "#recycle", "@recycle", "@recently-snapshot", "$recycle.bin", "recycler"}
    | {"system volume information", "lost+found"}
)
_NOT_UTF8 = "files left out (names that are not UTF-8): rename them"
_LINKS = "links to folders are not followed: name the folders that they lead to, or copy these"
_UNLISTED = "folders left out (they cannot be listed): change their access rights"


@dataclass(frozen=True)
class FileState:
    """A file's state on disk, without its content."""

    path: str  # within the folder, with /
    bytes: int
    mtime_ns: int
    ctime_s: float  # when it arrived or changed, seconds since 1970; copying or unpacking may set an old mtime


def files_under(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield all files under a folder, in order, as (path within it, with /; path on disk).

    Hidden files and folders (is_hidden), FIFOs, sockets and devices are left out; a broken link is listed. With a
    printed line for each reason are left out: files with names that are not UTF-8, which no table can store, links to
    folders, which may lead in circles or out of `folder`, and folders that cannot be listed.
    """
    left_out: dict[str, list[str]] = {}
    for path, on_disk in _walk(folder, left_out):
        if is_utf8(path):
            yield path, on_disk
        else:
            left_out.setdefault(_NOT_UTF8, []).append(path)
    for reason, paths in left_out.items():
        print(f"{printable(str(folder))}: {len(paths):,} {reason}; the first is {printable(paths[0])}", flush=True)


def holds_file(folder: Path, is_wanted: Callable[[str], bool]) -> bool:
    """Return whether files_under would list a file whose name is wanted, without printing anything."""
    return any(is_wanted(path) and is_utf8(path) for path, _ in _walk(folder, {}))


def file_states(place: Path) -> list[FileState]:
    """Return the state of each file under a folder, or of a single file; none if there is nothing at `place`."""
    states = []
    for path, on_disk in [(place.name, place)] if place.is_file() else _walk(place, {}):
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


def why_no_file(path: Path) -> str:
    """Return what is wrong with a path that is not a regular file, as `PATH does not exist` or `PATH is a folder`."""
    named = printable(str(path))
    try:
        found = path.stat()
    except FileNotFoundError:
        return f"{named} is a link to nothing" if path.is_symlink() else f"{named} does not exist"
    except OSError as error:
        return f"{named} cannot be read ({error.strerror})"
    return f"{named} is a folder" if stat.S_ISDIR(found.st_mode) else f"{named} is no regular file"


def require_utf8(path: Path) -> None:
    """Raise FacemaskError for a path that is not UTF-8."""
    if not is_utf8(str(path)):
        raise FacemaskError(f"the name of {printable(str(path))} is not UTF-8: rename it, then run again")


def _walk(folder: Path, left_out: dict[str, list[str]]) -> Iterator[tuple[str, Path]]:
    """Yield what files_under does, and names that are not UTF-8; add the folders that are left out, by reason."""

    def add(reason: str, path: str) -> None:
        left_out.setdefault(reason, []).append(os.path.relpath(path, folder))

    def add_unlisted(error: OSError) -> None:
        add(_UNLISTED, error.filename)

    for parent, folders, names in os.walk(folder, onerror=add_unlisted):
        shown = sorted(name for name in folders if not is_hidden(name))
        folders[:] = [name for name in shown if not Path(parent, name).is_symlink()]
        for name in set(shown).difference(folders):
            add(_LINKS, str(Path(parent, name)))
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
