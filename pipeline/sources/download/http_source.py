"""Files over HTTP and HTTPS, with httpx: proxies, certificates and redirects are handled as httpx does by default.

The proxy variables of the environment (HTTPS_PROXY, NO_PROXY, ...) and SSL_CERT_FILE are honoured.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain

import httpx

from pipeline.errors import one_line
from pipeline.proxies import proxy_of
from pipeline.sources.download.error_pages import PAGE_BYTES, is_html
from pipeline.sources.download.http_errors import ErrorResponse, error_for_page, error_for_status
from pipeline.sources.download.response import PermanentError, RemoteChanged, Response, ResumeInfo, TransientError
from pipeline.sources.download.settings import DownloadSettings

_SNIFFED_BYTES = 512  # of a body, enough to recognize an HTML page
_HTML_SUFFIXES = (".html", ".htm", ".xhtml")


def make_client(settings: DownloadSettings, connections: int) -> httpx.Client:
    """Return an HTTP client that keeps up to `connections` connections open; threads may share it."""
    return httpx.Client(
        timeout=httpx.Timeout(settings.read_timeout_s, connect=settings.connect_timeout_s),
        limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
        follow_redirects=True,
        max_redirects=10,
        headers={"Accept-Encoding": "identity", "User-Agent": "facemask"},
    )


@contextmanager
def open_http(client: httpx.Client, url: str, offset: int, info: ResumeInfo | None) -> Iterator[Response]:
    """Request a file from byte `offset` on; the response starts at 0 if the server cannot resume.

    Raises PermanentError and TransientError, also while the chunks are read.
    """
    headers = {}
    if offset:
        headers["Range"] = f"bytes={offset}-"
        if info and info.validator:
            headers["If-Range"] = info.validator
    try:
        with client.stream("GET", url, headers=headers) as answer:
            yield _as_response(answer, url, offset, info)
    except httpx.TooManyRedirects as error:
        raise PermanentError("the server redirects in a loop") from error
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError) as error:  # UnicodeError: idna, of a host name
        raise PermanentError(f"not a valid URL: {one_line(error)}") from error
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
        raise TransientError(f"{_place_of(url)} cannot be reached ({one_line(error)})", unreachable=True) from error
    except httpx.ReadTimeout as error:
        raise TransientError(f"{httpx.URL(url).host} sent no data for {client.timeout.read or 0:.0f} s") from error
    except httpx.HTTPError as error:
        raise TransientError(f"{httpx.URL(url).host} closed the connection early ({one_line(error)})") from error


def _place_of(url: str) -> str:
    """What a connection for this URL is made to, as text: its host, or the environment's proxy."""
    host = httpx.URL(url).host
    proxy = proxy_of(url)
    return f"the proxy {proxy}, or {host} through it," if proxy else host


def _as_response(answer: httpx.Response, url: str, offset: int, info: ResumeInfo | None) -> Response:
    """Check status and headers of an answer, and recognize HTML pages that stand in for a file."""
    if answer.status_code == 206:
        return _resumed(answer, url, offset, info)
    if answer.status_code == 416:
        raise RemoteChanged("the remote file became shorter during the download")
    # iter_raw: sizes, ranges and digests refer to the bytes as sent, whatever their Content-Encoding.
    chunks = answer.iter_raw()
    if answer.status_code != 200:
        raise error_for_status(_error_response(answer, chunks))
    start = next(chunks, b"")
    chunks = chain([start], chunks)
    html = is_html(start[:_SNIFFED_BYTES], answer.headers.get("content-type", ""))
    if html and not url.lower().endswith(_HTML_SUFFIXES):
        raise error_for_page(_error_response(answer, chunks))
    length = answer.headers.get("content-length", "")
    total = int(length) if length.isdecimal() else None
    return Response(0, ResumeInfo(url, _validator(answer), total), chunks)


def _resumed(answer: httpx.Response, url: str, offset: int, info: ResumeInfo | None) -> Response:
    """Check that a 206 answer continues the same file: a server that ignores If-Range may send the rest of another."""
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("content-range", ""))
    if not found or int(found[1]) != offset:
        raise RemoteChanged("the server sent another range than the requested one")
    validator = _validator(answer)
    total = int(found[2]) if found[2] != "*" else None
    if info and (
        (validator and info.validator and validator != info.validator)
        or (total is not None and info.total is not None and total != info.total)
    ):
        raise RemoteChanged("the remote file changed during the download")
    known = info or ResumeInfo(url)
    return Response(
        offset, ResumeInfo(url, known.validator, known.total if total is None else total), answer.iter_raw()
    )


def _validator(answer: httpx.Response) -> str | None:
    """Return a value that If-Range accepts: a strong ETag, otherwise the Last-Modified time."""
    etag: str | None = answer.headers.get("etag")
    if etag and not etag.startswith("W/"):
        return etag
    modified: str | None = answer.headers.get("last-modified")
    return modified


def _error_response(answer: httpx.Response, chunks: Iterator[bytes]) -> ErrorResponse:
    body = b""
    for chunk in chunks:
        body += chunk
        if len(body) >= PAGE_BYTES:
            break
    return ErrorResponse(str(answer.url), answer.status_code, answer.reason_phrase, answer.headers, body[:PAGE_BYTES])
