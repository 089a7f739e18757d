"""Zips and tars that strangers made, read member by member and never unpacked to disk.

Nothing in them is trusted: not the names, not the sizes, and not that the file is whole.
"""

import bz2
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

from pipeline.errors import FacemaskError

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")

# A member above a bound of its own is left out; a container above a bound on the whole is refused.
MAX_MEMBER_BYTES = 200_000_000  # no image file is larger, and a member is held in memory
MAX_RATIO = 200  # bytes out of one byte in: images hardly pack, while deflate makes 1,000 of one, xz 7,000
RATIO_FROM_BYTES = 1_000_000  # a small picture of one colour packs as well as a bomb does, and harms no one
MAX_MEMBERS = 1_000_000  # of which the list alone takes a gigabyte; MaskedFace-Net has 137,000
MAX_TOTAL_BYTES = 500_000_000_000  # five times FFHQ at full size
MAX_DIRECTORY_BYTES = 200 * MAX_MEMBERS  # a zip's list of its members, which zipfile reads in one piece
MAX_HEADER_BYTES = 1_000_000  # a tar's header of one member, which may hold names and attributes of any length

_WEB_PAGE = (b"<!doctype html", b"<html")
_ZIP_ENTRY = b"PK\x01\x02"  # begins each entry of a zip's directory
_ZIP_HEADER_BYTES = 30  # and a name, before each member's content
_ENCRYPTED = 0x1  # of a zip entry's flags
_CHUNK = 1 << 20

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_DRIVE = re.compile("[A-Za-z]:")
_OUTSIDE = "with names that lead out of the folder or hold control characters"
_SPECIAL = "being links, devices or the like"
_LARGE = "larger than any image"
_PACKED = "packed tighter than any image"
_TWICE = "with the name of one before"


@dataclass(frozen=True)
class Member:
    """One regular file in a container. Equal signatures mean equal content."""

    path: str  # within the container, with /
    signature: str  # zip: size and CRC; tar, which has no CRC: size and mtime of the whole, place and size in it
    read: Callable[[], bytes]  # nothing, and a line on stdout, for one that is broken, encrypted or oddly packed


@dataclass(frozen=True)
class _Entry:
    """What a container says of one member, unchecked."""

    name: str  # ends with / for a folder
    size: int  # bytes
    packed: int  # bytes that it takes in the container
    special: bool  # neither file nor folder
    signature: str
    read: Callable[[], bytes]  # raises errors of every kind


def is_archive(path: str) -> bool:
    return path.lower().endswith(SUFFIXES)


@contextmanager
def open_archive(path: Path) -> Iterator[list[Member]]:
    """The regular files in a zip or tar, in its order; they can be read until the `with` ends.

    Hidden files and folders are passed over. What else is left out is told, one line for each reason.
    Raises FacemaskError for a container that is made to exhaust the machine, is damaged or was cut short: for a tar
    too, though its first members are there, since no one would miss the others.

    A compressed tar is unpacked once for the list, which verifies it, and again as its members are read: in order that
    is once, while each step back starts anew. A plain tar has no checksums: other bytes in a member pass unnoticed.
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
            unpacked = _unpacked(file, start)
            reader = stack.enter_context(_Bounded(unpacked))
            limit = MAX_TOTAL_BYTES
            if unpacked is not file:
                limit = min(limit, max(MAX_MEMBER_BYTES, MAX_RATIO * path.stat().st_size))  # time, before memory
            entries = _tar_entries(path, reader, limit)
        yield _members(path, reader, entries)


def _members(path: Path, reader: io.BufferedReader, entries: Iterable[_Entry]) -> list[Member]:
    """Those entries that are files to be read; tells what else there is."""
    members: dict[str, Member] = {}
    left_out: dict[str, tuple[int, str]] = {}  # reason: how many, and the name of the first
    total = 0
    for number, entry in enumerate(entries, start=1):
        if number > MAX_MEMBERS:
            raise _too_much(path, f"{MAX_MEMBERS:,} members")
        name = entry.name.replace("\\", "/")
        parts = [part for part in name.split("/") if part not in ("", ".")]
        within = "/".join(parts)
        if name.endswith("/") or _is_hidden(parts):
            continue
        if reason := _reason_against(entry, name, parts) or (_TWICE if within in members else None):
            count, first = left_out.get(reason, (0, entry.name[:200]))
            left_out[reason] = count + 1, first
            continue
        total += entry.size
        if total > MAX_TOTAL_BYTES:
            raise _too_much(path, f"{MAX_TOTAL_BYTES:,} bytes")
        members[within] = Member(within, entry.signature, partial(_read_or_empty, path, within, reader, entry.read))
    for reason, (count, first) in left_out.items():
        print(f"{path}: {count:,} left out, {reason}; the first is {first!r}", flush=True)
    return list(members.values())


def _is_hidden(parts: list[str]) -> bool:
    return ".." not in parts and any(part.startswith(".") or part == "__MACOSX" for part in parts)


def _reason_against(entry: _Entry, name: str, parts: list[str]) -> str | None:
    if name.startswith("/") or _DRIVE.match(name) or _CONTROL.search(name) or ".." in parts or not parts:
        return _OUTSIDE
    if entry.special:
        return _SPECIAL
    if entry.size > MAX_MEMBER_BYTES:
        return _LARGE
    if entry.size > max(RATIO_FROM_BYTES, MAX_RATIO * entry.packed):
        return _PACKED
    return None


def _read_or_empty(path: Path, name: str, reader: io.BufferedReader, read: Callable[[], bytes]) -> bytes:
    if reader.closed:
        raise ValueError(f"{path} is closed")  # an error of ours: a thousand members would pass for broken ones
    try:
        return read()
    except Exception as error:  # noqa: BLE001 - unpackers raise of every kind on hostile bytes; all mean: broken
        print(f"{path}/{name} cannot be read: {_said(error)}", flush=True)
        return b""


def _zip_entries(path: Path, reader: "_Bounded") -> Iterator[_Entry]:
    reader.left = MAX_DIRECTORY_BYTES
    with _as_damage(path):
        archive = zipfile.ZipFile(reader)
    reader.left = None
    infos = archive.infolist()
    spans = sorted((info.header_offset, info.header_offset + _ZIP_HEADER_BYTES + info.compress_size) for info in infos)
    if spans and (spans[0][0] < 0 or max(end for _, end in spans) > archive.start_dir):
        raise _damaged(path, "members lie outside it")
    # One kernel of bytes in thousands of members: Fifield, "A better zip bomb", 2019. zipfile refuses it since 3.11.8.
    if any(end > start for (_, end), (start, _) in pairwise(spans)):
        raise FacemaskError(f"{path} is a zip bomb, its members overlap: remove it, and mistrust where it came from")
    for info in infos:
        kind = stat.S_IFMT(info.external_attr >> 16)
        yield _Entry(
            name=info.orig_filename + ("/" if kind == stat.S_IFDIR else ""),  # .filename is cut at a NUL
            size=info.file_size,
            packed=info.compress_size,
            special=kind in (stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK),
            signature=f"{info.file_size} {info.CRC:08x}",
            read=partial(_read_zipped, archive, info),
        )


def _read_zipped(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    if info.flag_bits & _ENCRYPTED:
        raise zipfile.BadZipFile("it is encrypted")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # bzip2 and LZMA too: rare, and zipfile unpacks them without a bound.
        raise zipfile.BadZipFile(f"compression method {info.compress_type} is not supported")
    with archive.open(info) as file:
        content = file.read(info.file_size + 1)  # zipfile stops at file_size, and checks the CRC only at the end
    if len(content) != info.file_size:
        raise zipfile.BadZipFile(f"it has {len(content):,} bytes and should have {info.file_size:,}")
    return content


def _tar_entries(path: Path, reader: "_Bounded", limit: int) -> Iterator[_Entry]:
    on_disk = path.stat()
    for info in _tar_headers(path, reader, limit):
        read = partial(_read_tarred, reader, info.offset_data, info.size)
        yield _Entry(
            name=_text(info.name) + ("/" if info.isdir() else ""),
            size=info.size,
            packed=info.size,
            special=not info.isreg(),
            signature=f"{on_disk.st_size} {on_disk.st_mtime_ns} {info.offset_data} {info.size}",
            read=_read_sparse if info.issparse() else read,
        )


def _tar_headers(path: Path, reader: "_Bounded", limit: int) -> Iterator[tarfile.TarInfo]:
    """Every header of a tar that ends as a tar does, within `limit` bytes of it."""
    with _as_damage(path):
        reader.left = MAX_HEADER_BYTES
        archive = tarfile.TarFile(fileobj=reader, encoding="utf-8")
        archive.offset = here = 0  # it has read a header by itself, but its next() takes a cut for the end
        while True:
            reader.left = MAX_HEADER_BYTES
            reader.seek(here)
            try:
                info = tarfile.TarInfo.fromtarfile(archive)
            except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # a block of zeros; typeshed lacks it
                break
            if archive.offset <= here:
                raise tarfile.ReadError("a header leads back")
            here = archive.offset
            if info.size < 0 or (info.isreg() and not info.issparse() and info.offset_data + info.size > here):
                raise tarfile.ReadError("a member is longer than its place")  # read, it would give another's bytes
            if here > limit:
                raise _too_much(path, f"{limit:,} bytes")
            yield info
        reader.left = None
        while reader.read(_CHUNK):  # only at its end is a compressed file's checksum compared
            if reader.tell() > limit:
                raise _too_much(path, f"{limit:,} bytes")


def _read_tarred(reader: io.BufferedReader, offset: int, size: int) -> bytes:
    reader.seek(offset)
    content = reader.read(size)
    if len(content) != size:
        raise tarfile.ReadError("it was cut short since it was listed")
    return content


def _read_sparse() -> bytes:
    raise tarfile.ReadError("it is stored with holes, as tar --sparse does, which is not supported")


def _text(name: str) -> str:
    """Names in a tar that are not UTF-8, as zipfile would read them: half characters fit in no table."""
    raw = name.encode("utf-8", "surrogateescape")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp437")


def _unpacked(file: io.FileIO, start: bytes) -> "io.FileIO | gzip.GzipFile | bz2.BZ2File | lzma.LZMAFile":
    """A tar's bytes, whatever its name says: browsers unpack a .tar.gz and keep the name."""
    if start.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=file)
    if start.startswith(b"BZh"):
        return bz2.BZ2File(file)
    if start.startswith(b"\xfd7zXZ"):
        return lzma.LZMAFile(file)
    return file


class _Bounded(io.BufferedReader):
    """Gives `left` bytes before it refuses: zipfile and tarfile read lists and headers of whatever length these say."""

    left: int | None = None  # no bound

    def read(self, size: int | None = -1, /) -> bytes:
        if self.left is None:
            return super().read(size)
        if size is not None and size > self.left:
            raise ValueError(f"its list of members asks for {size:,} bytes")
        content = super().read(size)  # without a size, zipfile reads no more than the last 64 kB
        self.left -= len(content)
        if self.left < 0:
            raise ValueError("its list of members is too long")
        return content


class _ZipReader(_Bounded):
    """Counts the members before zipfile makes objects of them, each ten times as large as its entry."""

    def read(self, size: int | None = -1, /) -> bytes:
        content = super().read(size)
        if self.left is not None and content.count(_ZIP_ENTRY) > MAX_MEMBERS:
            raise _too_much(Path(self.name), f"{MAX_MEMBERS:,} members")
        return content


@contextmanager
def _as_damage(path: Path) -> Iterator[None]:
    try:
        yield
    except FacemaskError:
        raise
    except Exception as error:  # zipfile and tarfile raise of every kind on hostile bytes
        raise _damaged(path, _said(error)) from error


def _damaged(path: Path, why: str) -> FacemaskError:
    return FacemaskError(f"{path} is damaged or was not downloaded whole ({why}): put it there again")


def _too_much(path: Path, what: str) -> FacemaskError:
    return FacemaskError(f"{path} unpacks to more than {what}: if you trust it, put it there in parts")


def _said(error: Exception) -> str:
    """An error in one line; it may hold a name of any length."""
    return " ".join(str(error).split())[:200] or type(error).__name__
