"""Atomic writes (write beside, flush, rename), locks, and guarded reads of image files."""

import errno
import fcntl
import hashlib
import json
import os
import shutil
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from pipeline.errors import FacemaskError

MAX_IMAGE_BYTES = 500_000_000
"""The largest image file that is read: 100 megapixels (pipeline/storage/images.py), uncompressed, take 400 MB."""

_MAX_NAME_BYTES = 255  # of a file name in nearly all file systems
_CUT_NAME_BYTES = 180  # of a longer name, before its digest, a process and a thread


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to; on success it becomes `path`, on any error it is removed.

    Write and close the file within the block. After the block the new file survives a power loss.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    end = f".{os.getpid()}-{threading.get_native_id()}.part"
    name = path.name
    if len(name.encode()) + len(end) >= _MAX_NAME_BYTES:  # two such names may begin alike
        name = f"{name.encode()[:_CUT_NAME_BYTES].decode(errors='ignore')}{digest_of(name)}"
    beside = path.with_name(f".{name}{end}")
    beside.unlink(missing_ok=True)  # left by a killed process with the same number
    try:
        yield beside
        with beside.open("rb") as written:
            os.fsync(written.fileno())
        beside.replace(path)
        flush_to_disk(path.parent)
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def replacing_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside `target` to fill; on success it becomes `target`, on any error it is removed."""
    made = fresh_folder(target.with_name(f".{target.name}.new"))
    try:
        yield made
        replace_folder(made, target)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def fresh_folder(path: Path) -> Path:
    """Make `path` an empty folder, without anything that a killed process left there; return it."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


def replace_folder(made: Path, target: Path) -> None:
    """Move the finished folder `made` to `target`, on the same disk; then remove the earlier one.

    A kill between the two renames leaves the earlier folder beside `target` as .NAME.old; the next call removes it.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    old = target.with_name(f".{target.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.replace(old)
    made.replace(target)
    flush_to_disk(target.parent)
    shutil.rmtree(old, ignore_errors=True)


def link_or_copy(source: Path, target: Path) -> None:
    """Put `source` at `target` without a second copy where the disk can share it."""
    with replacing(target) as beside:
        try:
            os.link(source, beside)
        except OSError:  # another disk, or one without hard links
            shutil.copyfile(source, beside)


def replace_by_link(path: Path, source: Path) -> None:
    """Make `path` another name of `source`. Raises OSError where the disk cannot share it; `path` then stays."""
    with replacing(path) as beside:
        os.link(source, beside)


@contextmanager
def locked(path: Path, refusal: str | None = None) -> Iterator[None]:
    """Hold an exclusive lock on `path`, a folder or a file (which is created), until the block or the process ends.

    Waits for another holder, a thread of this process included; given `refusal`, raises FacemaskError with that text
    instead. A file system without locks (some network ones) locks nothing.
    """
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (fcntl.LOCK_NB if refusal else 0))
        except BlockingIOError as error:
            raise FacemaskError(refusal or "") from error
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
                raise
        yield
    finally:
        os.close(descriptor)


def read_or_empty(folder: Path, path: str) -> bytes:
    """Return a file's content; b"", and a printed line, for an unreadable file or a link that leaves `folder`."""
    file = folder / path
    try:
        if file.is_symlink() and not real_path(file).is_relative_to(real_path(folder)):
            print(f"{file} is not read: it is a link that leaves {folder}", flush=True)
            return b""
        return read_image_file(file)
    except OSError as error:
        print(f"{file} cannot be read: {error.strerror}", flush=True)
        return b""


def read_image_file(path: Path) -> bytes:
    """Read a file into memory. Raises OSError for one above MAX_IMAGE_BYTES and for one that is not a regular file."""
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > MAX_IMAGE_BYTES:
            raise OSError(errno.EFBIG, f"it has {size:,} bytes, more than {MAX_IMAGE_BYTES:,}", str(path))
        return file.read(size)


def open_regular(path: Path) -> IO[bytes]:
    """Open a file for reading. Raises OSError for a FIFO, socket or device: reading one may never end."""
    # O_NONBLOCK: without it, opening a FIFO waits for a writer.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def real_path(path: Path) -> Path:
    """Return the absolute path without links. Path.resolve does the same, but fails for a loop of links."""
    return Path(os.path.realpath(path))


def require_no_file(out: Path) -> None:
    """Raise FacemaskError if an output folder, or a folder above it, is a file."""
    for path in (out, *out.parents):
        if path.exists():
            if not path.is_dir():
                raise FacemaskError(f"{path} is not a folder: choose another --out")
            return


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, whole or not at all."""
    with replacing(path) as beside:
        beside.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of(*values: Any) -> str:
    """Return 16 hex digits that identify the values (any that JSON can hold), for example the inputs of some work."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def flush_to_disk(path: Path) -> None:
    """Flush a file, or a folder's entries, to disk: until then a rename may be lost with the power."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        if not path.is_dir():  # some network file systems refuse it for folders
            raise
    finally:
        os.close(descriptor)
