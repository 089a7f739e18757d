"""Untrusted zip and tar archives, read member by member and never unpacked to disk.

Names, sizes and the completeness of the file are verified.
"""

import bz2
import errno
import gzip
import io
import lzma
import re
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

from pipeline.errors import FacemaskError, one_line
from pipeline.sources.folders import is_hidden

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")

# A member above its limit is left out; an archive above a limit of the whole is refused.
MAX_MEMBER_BYTES = 200_000_000  # members are read into memory, and no image file is larger
MAX_RATIO = 200  # uncompressed / compressed bytes: images hardly compress; deflate reaches 1,000, xz 7,000
RATIO_FROM_BYTES = 1_000_000  # smaller members may have any ratio: a picture of one colour compresses like a bomb
MAX_MEMBERS = 1_000_000  # their list alone takes a gigabyte of memory; MaskedFace-Net has 137,000
MAX_TOTAL_BYTES = 500_000_000_000  # five times FFHQ at full size
MAX_DIRECTORY_BYTES = 200 * MAX_MEMBERS  # of a zip's directory, which zipfile reads at once
MAX_HEADER_BYTES = 1_000_000  # of one tar member: its names and attributes may have any length

_WEB_PAGE = (b"<!doctype html", b"<html")
_ZIP_ENTRY = b"PK\x01\x02"  # the start of an entry in a zip's directory
_ZIP_HEADER_BYTES = 30  # before each member's name and content
_ENCRYPTED = 0x1  # bit of a zip entry's flags
_CHUNK = 1 << 20

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_DRIVE = re.compile("[A-Za-z]:")
_UNSAFE_NAME = "names that leave the folder or have control characters"
_SPECIAL = "links, devices or other special files"
_TOO_LARGE = f"larger than {MAX_MEMBER_BYTES:,} bytes"
_TOO_COMPRESSED = f"compressed more than {MAX_RATIO}-fold"
_REPEATED = "names that came before"


@dataclass(frozen=True)
class Member:
    """A regular file in an archive. Equal signatures mean equal content.

    `read` returns b"", and prints a line, for a damaged or encrypted member or an unsupported compression. It raises
    FacemaskError if the disk fails, and MemoryError: these may pass.
    """

    path: str  # within the archive, with /
    signature: str  # zip: size and CRC; tar, which has no CRC: size and time of the archive, place and size in it
    read: Callable[[], bytes]


@dataclass(frozen=True)
class _Entry:
    """A member as the archive describes it, unverified."""

    name: str  # ends with / for a folder
    size: int  # bytes, uncompressed
    compressed: int  # bytes
    special: bool  # neither file nor folder
    signature: str
    read: Callable[[], bytes]  # raises any exception


def is_archive(path: str) -> bool:
    """Return whether a file counts as an archive, by its extension."""
    return path.lower().endswith(SUFFIXES)


@contextmanager
def open_archive(path: Path) -> Iterator[list[Member]]:
    """Yield the regular files in a zip or tar, in its order; they can be read until the `with` ends.

    Hidden files and folders are skipped. Other members that are left out are counted in a printed line for each reason.
    Raises FacemaskError for an archive that is damaged, truncated or made to exhaust the machine.

    A compressed tar is decompressed once for the list, which verifies its checksum, and again while its members are
    read: once if they are read in order, but each step back starts over. An uncompressed tar has no checksums, so
    changed bytes in a member are not detected.
    """
    with ExitStack() as stack:
        with _as_damage(path):
            file = stack.enter_context(path.open("rb", buffering=0))
            start = file.read(512)
            file.seek(0)
        if start.lstrip().lower().startswith(_WEB_PAGE):
            raise FacemaskError(f"{path} is a web page, not an archive: open it to see why, then download it again")
        if path.name.lower().endswith(".zip"):
            reader: _Bounded = stack.enter_context(_ZipReader(file))
            entries = _zip_entries(path, reader)
        else:
            tar = _decompressed(file, start)
            reader = stack.enter_context(_Bounded(tar))
            limit = MAX_TOTAL_BYTES
            if tar is not file:
                limit = min(limit, max(MAX_MEMBER_BYTES, MAX_RATIO * path.stat().st_size))  # a bomb would cost time
            entries = _tar_entries(path, reader, limit)
        yield _members(path, reader, entries)


def _members(path: Path, reader: io.BufferedReader, entries: Iterable[_Entry]) -> list[Member]:
    """Return the entries that are regular files within the limits; print what else there is."""
    members: dict[str, Member] = {}
    left_out: dict[str, tuple[int, str]] = {}  # reason -> (count, name of the first)
    total = 0
    for number, entry in enumerate(entries, start=1):
        if number > MAX_MEMBERS:
            raise _too_large(path, f"{MAX_MEMBERS:,} members")
        name = entry.name.replace("\\", "/")
        parts = [part for part in name.split("/") if part not in ("", ".")]
        within = "/".join(parts)
        if name.endswith("/") or _is_hidden(parts):
            continue
        if reason := _reason_against(entry, name, parts) or (_REPEATED if within in members else None):
            count, first = left_out.get(reason, (0, entry.name[:200]))
            left_out[reason] = count + 1, first
            continue
        total += entry.size
        if total > MAX_TOTAL_BYTES:
            raise _too_large(path, f"{MAX_TOTAL_BYTES:,} bytes")
        members[within] = Member(within, entry.signature, partial(_read_or_empty, path, within, reader, entry.read))
    for reason, (count, first) in left_out.items():
        print(f"{path}: {count:,} left out ({reason}); the first is {first!r}", flush=True)
    return list(members.values())


def _is_hidden(parts: list[str]) -> bool:
    return ".." not in parts and any(map(is_hidden, parts))


def _reason_against(entry: _Entry, name: str, parts: list[str]) -> str | None:
    """Return why a member is left out, None if it is not."""
    if name.startswith("/") or _DRIVE.match(name) or _CONTROL.search(name) or ".." in parts or not parts:
        return _UNSAFE_NAME
    if entry.special:
        return _SPECIAL
    if entry.size > MAX_MEMBER_BYTES:
        return _TOO_LARGE
    if entry.size > max(RATIO_FROM_BYTES, MAX_RATIO * entry.compressed):
        return _TOO_COMPRESSED
    return None


def _read_or_empty(path: Path, name: str, reader: io.BufferedReader, read: Callable[[], bytes]) -> bytes:
    if reader.closed:
        raise ValueError(f"{path} is closed")  # a bug, which must not pass for damaged members
    try:
        return read()
    except MemoryError:
        raise
    except Exception as error:
        # Decompressors set no errno; EINVAL comes from a seek to an invalid offset in the archive.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise FacemaskError(
                f"{path} cannot be read ({error.strerror}): check its disk, then run the same command again"
            ) from error
        # On hostile bytes, decompressors raise any other exception; all mean: damaged.
        print(f"{path}/{name} cannot be read: {one_line(error)}", flush=True)
        return b""


def _zip_entries(path: Path, reader: "_Bounded") -> Iterator[_Entry]:
    reader.left = MAX_DIRECTORY_BYTES
    with _as_damage(path):
        archive = zipfile.ZipFile(reader)
    reader.left = None
    infos = archive.infolist()
    spans = sorted((info.header_offset, info.header_offset + _ZIP_HEADER_BYTES + info.compress_size) for info in infos)
    if spans and (spans[0][0] < 0 or max(end for _, end in spans) > archive.start_dir):
        raise _damaged(path, "members are outside the file")
    # The same bytes in thousands of members: Fifield, "A better zip bomb", 2019. zipfile refuses it since 3.11.8.
    if any(end > start for (_, end), (start, _) in pairwise(spans)):
        raise FacemaskError(f"{path} is a zip bomb (its members overlap): remove it, and do not trust its source")
    for info in infos:
        kind = stat.S_IFMT(info.external_attr >> 16)
        yield _Entry(
            name=info.orig_filename + ("/" if kind == stat.S_IFDIR else ""),  # .filename is cut at a NUL
            size=info.file_size,
            compressed=info.compress_size,
            special=kind in (stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK),
            signature=f"{info.file_size} {info.CRC:08x}",
            read=partial(_read_zipped, archive, info),
        )


def _read_zipped(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    if info.flag_bits & _ENCRYPTED:
        raise zipfile.BadZipFile("it is encrypted")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # bzip2 and LZMA are rare, and zipfile decompresses them without a limit.
        raise zipfile.BadZipFile(f"compression method {info.compress_type} is not supported")
    with archive.open(info) as file:
        content = file.read(info.file_size + 1)  # zipfile stops at file_size, and checks the CRC only at the end
    if len(content) != info.file_size:
        raise zipfile.BadZipFile(f"it has {len(content):,} bytes, expected {info.file_size:,}")
    return content


def _tar_entries(path: Path, reader: "_Bounded", limit: int) -> Iterator[_Entry]:
    on_disk = path.stat()
    for info in _tar_headers(path, reader, limit):
        read = partial(_read_tarred, reader, info.offset_data, info.size)
        yield _Entry(
            name=_text(info.name) + ("/" if info.isdir() else ""),
            size=info.size,
            compressed=info.size,
            special=not info.isreg(),
            signature=f"{on_disk.st_size} {on_disk.st_mtime_ns} {info.offset_data} {info.size}",
            read=_read_sparse if info.issparse() else read,
        )


def _tar_headers(path: Path, reader: "_Bounded", limit: int) -> Iterator[tarfile.TarInfo]:
    """Yield every header of a tar. Raises FacemaskError unless it has a tar's end marker, and above `limit` bytes."""
    with _as_damage(path):
        reader.left = MAX_HEADER_BYTES
        archive = tarfile.TarFile(fileobj=reader, encoding="utf-8")
        archive.offset = here = 0  # not archive.next(): that takes a truncated file for a complete one
        while True:
            reader.left = MAX_HEADER_BYTES
            reader.seek(here)
            try:
                info = tarfile.TarInfo.fromtarfile(archive)
            except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # a block of zeros; typeshed lacks it
                break
            if archive.offset <= here:
                raise tarfile.ReadError("a header points back")
            here = archive.offset
            if info.size < 0 or (info.isreg() and not info.issparse() and info.offset_data + info.size > here):
                raise tarfile.ReadError("a member overlaps the next one")  # its content would be the other's
            if here > limit:
                raise _too_large(path, f"{limit:,} bytes")
            yield info
        reader.left = None
        while reader.read(_CHUNK):  # decompressors compare the checksum at the end of the file
            if reader.tell() > limit:
                raise _too_large(path, f"{limit:,} bytes")


def _read_tarred(reader: io.BufferedReader, offset: int, size: int) -> bytes:
    reader.seek(offset)
    content = reader.read(size)
    if len(content) != size:
        raise tarfile.ReadError("the archive was truncated after it was listed")
    return content


def _read_sparse() -> bytes:
    raise tarfile.ReadError("sparse members (tar --sparse) are not supported")


def _text(name: str) -> str:
    """Return a name in a tar as text; one that is not UTF-8 is decoded as cp437, as zipfile does."""
    raw = name.encode("utf-8", "surrogateescape")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp437")


def _decompressed(file: io.FileIO, start: bytes) -> "io.FileIO | gzip.GzipFile | bz2.BZ2File | lzma.LZMAFile":
    """Return a tar's bytes, decompressed if the content is: browsers decompress a .tar.gz and keep its name."""
    if start.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=file)
    if start.startswith(b"BZh"):
        return bz2.BZ2File(file)
    if start.startswith(b"\xfd7zXZ"):
        return lzma.LZMAFile(file)
    return file


class _Bounded(io.BufferedReader):
    """Reads at most `left` bytes: zipfile and tarfile read directories and headers of any length."""

    left: int | None = None  # no limit

    def read(self, size: int | None = -1, /) -> bytes:
        """Read as io.BufferedReader does. Raises ValueError above the limit."""
        if self.left is None:
            return super().read(size)
        if size is not None and size > self.left:
            raise ValueError(f"its directory has {size:,} bytes")
        content = super().read(size)  # without a size, zipfile reads the last 64 kB at most
        self.left -= len(content)
        if self.left < 0:
            raise ValueError("its directory is too long")
        return content


class _ZipReader(_Bounded):
    """Counts the entries of a directory before zipfile makes objects of them, which take ten times the memory."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Read as _Bounded does. Raises FacemaskError above MAX_MEMBERS entries."""
        content = super().read(size)
        if self.left is not None and content.count(_ZIP_ENTRY) > MAX_MEMBERS:
            raise _too_large(Path(self.name), f"{MAX_MEMBERS:,} members")
        return content


@contextmanager
def _as_damage(path: Path) -> Iterator[None]:
    """Turn any exception into the error that the archive is damaged."""
    try:
        yield
    except (FacemaskError, MemoryError):
        raise
    except Exception as error:  # on hostile bytes, zipfile and tarfile raise any exception
        raise _damaged(path, one_line(error)) from error


def _damaged(path: Path, why: str) -> FacemaskError:
    return FacemaskError(f"{path} is damaged or incomplete ({why}): replace it by a good copy")


def _too_large(path: Path, limit: str) -> FacemaskError:
    return FacemaskError(f"{path} has more than {limit}, uncompressed: if you trust it, split it into smaller archives")
