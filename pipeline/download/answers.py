"""What lies at an address, from a given byte on: by HTTP, by fsspec for any other scheme, from Google Drive by gdown.

Whatever comes instead of the file ends as one of two errors: Refused, where asking again brings nothing, and Broken,
where it may.
"""

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING

import httpx

from pipeline.download.refusals import PAGE_BYTES, Refusal, is_html, refusal
from pipeline.download.wire import READ_INTO

if TYPE_CHECKING:
    import requests

CONNECT_TIMEOUT_S = 15.0
READ_TIMEOUT_S = 30.0  # without a byte: then the connection is given up, and asked anew
LONGEST_WAIT_S = 300.0  # that a server may ask for: if it asks for more, the file is left for another day
_CHUNK = 1 << 20
_START = 512  # bytes that show whether a body is a page
_HTML_NAMES = (".html", ".htm", ".xhtml")
_ASK_AGAIN = (408, 425, 429)


Chunk = bytes | memoryview  # a memoryview only until the next one is asked for


class Refused(Exception):
    """Asking again brings nothing. `for_all`: nor does asking the same host for other files."""

    def __init__(self, reason: str, for_all: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.for_all = reason, for_all


class Broken(Exception):
    """Worth to be asked again, after `wait_s` seconds if the server named a time. `unreachable`: no server there."""

    def __init__(self, reason: str, wait_s: float = 0.0, unreachable: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.wait_s, self.unreachable = reason, wait_s, unreachable


class Stopped(Exception):
    """The whole download was ended from elsewhere."""


class Changed(Broken):
    """What lies there is no longer what the first bytes were of: to be fetched from its start."""


@dataclass(frozen=True)
class Note:
    """What a part is a part of; kept beside it. `validator` changes when the file does; `total` is in bytes."""

    url: str
    validator: str | None = None
    total: int | None = None


@dataclass(frozen=True)
class Answer:
    """The file's bytes from byte `start` on."""

    start: int
    note: Note
    chunks: Iterator[Chunk]


@contextmanager
def over_http(client: httpx.Client, url: str, offset: int, note: Note | None) -> Iterator[Answer]:
    """Ask for a file from `offset` on; the answer may start at 0 all the same.

    Raises Refused or Broken, also while the chunks are read.
    """
    headers = {}
    if offset:
        headers["Range"] = f"bytes={offset}-"
        if note and note.validator:
            headers["If-Range"] = note.validator
    try:
        with client.stream("GET", url, headers=headers) as response:
            yield _judge(response, url, offset, note)
    except httpx.TooManyRedirects as error:
        raise Refused("the server redirects in a circle") from error
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise Refused(f"this is no address to fetch from: {error}") from error
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        raise Broken(f"{_host(url)} cannot be reached ({_line(error)})", unreachable=True) from error
    except httpx.ReadTimeout as error:
        raise Broken(f"{_host(url)} sent nothing for {READ_TIMEOUT_S:.0f} s") from error
    except httpx.HTTPError as error:
        raise Broken(f"{_host(url)} broke off ({_line(error)})") from error


def _judge(response: httpx.Response, url: str, offset: int, note: Note | None) -> Answer:
    if response.status_code == 206:
        return _rest_of_file(response, url, offset, note)
    if response.status_code == 416:
        raise Changed("the file has become shorter while it was fetched")
    if response.status_code != 200:
        raise _not_given(response)
    chunks = _chunks(response)
    start = next(chunks, b"")
    if is_html(bytes(start[:_START]), response.headers.get("content-type", "")) and not url.lower().endswith(
        _HTML_NAMES
    ):
        raise _page(_text(chain([start], chunks)), response)
    length = response.headers.get("content-length", "")
    total = int(length) if length.isdecimal() else None
    return Answer(0, Note(url, _validator(response), total), chain([start], chunks))


def _rest_of_file(response: httpx.Response, url: str, offset: int, note: Note | None) -> Answer:
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("content-range", ""))
    if not found or int(found[1]) != offset:
        raise Changed("the server sent another part of the file than it was asked for")
    validator = _validator(response)
    total = int(found[2]) if found[2] != "*" else None
    if note and (
        (validator and note.validator and validator != note.validator)
        or (total is not None and note.total is not None and total != note.total)
    ):
        raise Changed("the file changed while it was fetched")  # the server does not know If-Range
    known = note or Note(url)
    return Answer(offset, Note(url, known.validator, known.total if total is None else total), _chunks(response))


def _chunks(response: httpx.Response) -> Iterator[Chunk]:
    """The body as it lies there, whatever its Content-Encoding: sizes, ranges and digests are of those bytes."""
    read_into: Callable[[], memoryview] | None = response.extensions.get(READ_INTO)
    return iter(read_into, b"") if read_into else response.iter_raw()


def _validator(response: httpx.Response) -> str | None:
    """What If-Range takes: a strong ETag, or else the time of the last change."""
    etag: str | None = response.headers.get("etag")
    if etag and not etag.startswith("W/"):
        return etag
    changed: str | None = response.headers.get("last-modified")
    return changed


def _not_given(response: httpx.Response) -> Refused | Broken:
    """What a status other than 200 and 206 means."""
    start = _text(_chunks(response))
    status = f"{_host(str(response.url))} says {response.status_code} {response.reason_phrase}".rstrip()
    if is_html(start.encode(), response.headers.get("content-type", "")):
        page = refusal(start, str(response.url))
        if page.kind != "other":
            return _refused(page)
    if response.status_code not in _ASK_AGAIN and response.status_code < 500:
        return Refused(status)
    wait_s = _retry_after_s(response.headers.get("retry-after", ""))
    if wait_s > LONGEST_WAIT_S:
        then = datetime.fromtimestamp(time.time() + wait_s).astimezone()
        return Refused(f"{status}: try again after {then:%Y-%m-%d %H:%M}", for_all=True)
    return Broken(status, wait_s)


def _retry_after_s(value: str) -> float:
    """The header Retry-After, a number of seconds or a date, in seconds from now; 0 if it says nothing."""
    if value.strip().isdecimal():
        return float(value)
    try:
        then = parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    return max(0.0, (then - datetime.now(then.tzinfo or UTC).replace(tzinfo=then.tzinfo)).total_seconds())


def _page(text: str, response: httpx.Response) -> Refused | Broken:
    page = refusal(text, str(response.url))
    # A page that nobody knows may be a passing trouble of the server or of the network on the way.
    return Broken(page.reason) if page.kind == "other" else _refused(page)


def _refused(page: Refusal) -> Refused:
    return Refused(page.reason, for_all=page.kind == "quota")


def _text(chunks: Iterator[Chunk]) -> str:
    body = b""
    for chunk in chunks:
        body += chunk
        if len(body) >= PAGE_BYTES:
            break
    return body[:PAGE_BYTES].decode(errors="replace")


def _host(url: str) -> str:
    return httpx.URL(url).host


def _line(error: Exception) -> str:
    """An error as one line of text."""
    return " ".join(str(error).split())[:200] or type(error).__name__


@contextmanager
def over_fsspec(url: str, offset: int, note: Note | None) -> Iterator[Answer]:
    """The same for any address that fsspec opens: s3://, gs://, memory://, a path on this machine."""
    import fsspec.core  # slow to load, and rarely asked for

    try:
        system, path = fsspec.core.url_to_fs(url)
        now = Note(url, str(system.ukey(path)), system.info(path)["size"])
        if offset and note != now:
            raise Changed("the file changed while it was fetched")
        source = system.open(path, "rb")
    except Exception as error:
        raise _of_fsspec(error) from error
    with source:
        yield Answer(offset, now, _read(source, offset))


def _read(source: IO[bytes], offset: int) -> Iterator[bytes]:
    try:
        source.seek(offset)
        while chunk := source.read(_CHUNK):
            yield bytes(chunk)
    except Exception as error:
        raise _of_fsspec(error) from error


def _of_fsspec(error: Exception) -> Refused | Broken:
    """fsspec's many kinds of stores raise errors of their own libraries."""
    if isinstance(error, Refused | Broken):
        return error
    if isinstance(error, ImportError | ValueError):  # no library for this scheme, or no such scheme
        return Refused(f"this address cannot be opened ({_line(error)})", for_all=True)
    if isinstance(error, FileNotFoundError):
        return Refused("there is no such file")
    if isinstance(error, PermissionError | IsADirectoryError):
        return Refused(f"the file cannot be read ({_line(error)})")
    return Broken(f"the store broke off ({_line(error)})")


def from_drive(file_id: str, beside: Path, stop: threading.Event, seen: Callable[[int, int | None], None]) -> None:
    """Bring a file of Google Drive to `beside`; gdown keeps what came of it in a part of its own, and resumes that.

    `seen` gets the bytes that lie there and the file's size. Raises Refused, Broken, Stopped after `stop` is set,
    OSError for this machine's disk, and whatever `seen` raises.
    """
    import gdown
    import requests

    begun = False

    def first_seen(here: int, total: int | None) -> None:
        nonlocal begun
        begun = True
        seen(here, total)

    try:
        gdown.download(
            id=file_id,
            output=str(beside),
            quiet=True,
            resume=True,
            progress=first_seen,
            use_cookies=False,  # gdown's file of cookies is not made for several downloads at a time
            timeout=(CONNECT_TIMEOUT_S, READ_TIMEOUT_S),
            cancel=stop,
        )
    except requests.HTTPError as error:
        if error.response is None:
            raise Broken(f"Google Drive broke off ({_line(error)})") from error
        raise _drive_status(error.response) from error
    except (requests.ConnectionError, requests.Timeout) as error:
        unreachable = not isinstance(error, requests.ReadTimeout)
        raise Broken(f"Google Drive cannot be reached ({_line(error)})", unreachable=unreachable) from error
    except requests.RequestException as error:
        raise Broken(f"Google Drive broke off ({_line(error)})") from error
    except gdown.FileURLRetrievalError as error:
        page = refusal(str(error), "https://drive.google.com")
        said = Refused(f"Google Drive does not give it ({_line(error)})") if page.kind == "other" else _refused(page)
        raise said from error
    except gdown.DownloadError as error:
        if begun:
            raise Broken(f"Google Drive broke off ({_line(error)})") from error
        raise Changed(f"Google Drive does not go on with the file ({_line(error)})") from error
    except gdown.DownloadCancelled as error:
        raise Stopped from error
    except (KeyError, AssertionError) as error:  # what gdown looks for on Google's pages, which change at will
        raise Broken(f"Google Drive's answer is not understood ({_line(error)})") from error


def _drive_status(response: "requests.Response") -> Refused | Broken:
    answer = httpx.Response(
        response.status_code,
        headers=dict(response.headers),
        content=response.content[:PAGE_BYTES],
        request=httpx.Request("GET", response.url),
    )
    return _not_given(answer)


def forget_drive(beside: Path) -> None:
    """Remove what gdown keeps of a half-fetched `beside`."""
    for part in beside.parent.iterdir():
        if part.name.startswith(beside.name) and part.name.endswith(".part"):
            part.unlink()
