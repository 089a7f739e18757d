"""Files that are there whole or not at all: write beside, flush to disk, rename."""

import errno
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

MAX_IMAGE_BYTES = 500_000_000
"""The largest image file that is read: 100 megapixels (pipeline/storage/images.py) take 400 MB uncompressed, in four bytes."""

_CHUNK = 1 << 20


def work_folder(*parts: str) -> Path:
    """The folder for half-done work, `work/` here or where FACEMASK_WORK says; made if it is not there."""
    folder = Path(os.environ.get("FACEMASK_WORK", "work")).joinpath(*parts)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path beside `path` to write to; on success it becomes `path`, on any error it is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    beside.unlink(missing_ok=True)  # of a killed process that had this number
    try:
        yield beside
        with beside.open("rb") as written:
            os.fsync(written.fileno())
        beside.replace(path)
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
    """Make `path` an empty folder; what a killed process left there is removed."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


def replace_folder(made: Path, target: Path) -> None:
    """Move the finished folder `made` to `target`, on the same disk; the earlier one is removed only then.

    A kill between its two renames leaves the earlier folder beside `target` as .NAME.old; the next call removes it.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    old = target.with_name(f".{target.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.replace(old)
    made.replace(target)
    shutil.rmtree(old, ignore_errors=True)


def link_or_copy(source: Path, target: Path) -> None:
    """Put `source` at `target` without a second copy where the disk can share it."""
    with replacing(target) as beside:
        try:
            os.link(source, beside)
        except OSError:  # another disk, or one without hard links
            shutil.copyfile(source, beside)


def read_or_empty(folder: Path, path: str) -> bytes:
    """A file's content; nothing, and a word about it, for one that cannot be read or is a link out of `folder`."""
    file = folder / path
    try:
        if file.is_symlink() and not file.resolve().is_relative_to(folder.resolve()):
            print(f"{file} is a link out of {folder}, and is not followed", flush=True)
            return b""
        return read_image_file(file)
    except OSError as error:
        print(f"{file} cannot be read: {error.strerror}", flush=True)
        return b""


def read_image_file(path: Path) -> bytes:
    """Read a file into memory. Raises OSError for one above MAX_IMAGE_BYTES and for what is no regular file."""
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > MAX_IMAGE_BYTES:
            raise OSError(errno.EFBIG, f"it has {size:,} bytes, more than {MAX_IMAGE_BYTES:,}", str(path))
        return file.read(size)


def open_regular(path: Path) -> IO[bytes]:
    """Open a file for reading. Raises OSError for a FIFO, socket or device: reading one may never end."""
    # Without O_NONBLOCK the opening of a FIFO would wait for a writer.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def write_json(path: Path, value: Any) -> None:
    with replacing(path) as beside:
        beside.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def digest_of(*values: Any) -> str:
    """16 hex digits that name a piece of work by all that it depends on (values that JSON can hold)."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]
