"""What carries httpx's requests: the standard library's http.client, which reads in C what httpx's own parser, h11,
reads in Python: half the processor's time, and a quarter less of the clock's (2,000 files of 1 MB, 2 cores)."""

import select
import ssl
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import NamedTuple
from urllib.request import getproxies

import httpx

READ_INTO = "read_into"  # a response's extension: () -> memoryview, valid until the next call; empty at the end
# Bytes read at once. Fewer and larger reads save a sixth of the time on loopback; but what is read is lost when the
# connection is reset, so that only a line that fills the buffer within _SOON_S reads more the next time.
_LEAST, _BUFFER, _SOON_S = 1 << 16, 1 << 20, 0.05


def transport() -> httpx.BaseTransport | None:
    """What to give to httpx.Client; None, httpx's own, where a proxy stands between: that one knows them all."""
    return None if getproxies() else Wire()


class _Origin(NamedTuple):
    scheme: str
    host: str
    port: int | None


class _Line:
    """A connection, and the buffer that what comes over it is read into: memory anew for each read costs more."""

    def __init__(self, origin: _Origin, connection: HTTPConnection) -> None:
        self.origin, self.connection = origin, connection
        self.buffer = memoryview(bytearray(_BUFFER))
        self.at_once = min(_LEAST, _BUFFER)


class Wire(httpx.BaseTransport):
    """GET requests over connections that are kept for the next one; any number of threads may share it."""

    def __init__(self) -> None:
        self._idle: dict[_Origin, list[_Line]] = {}
        self._lock = threading.Lock()
        self._tls: ssl.SSLContext | None = None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        origin = _Origin(request.url.scheme, request.url.host, request.url.port)
        timeouts: dict[str, float | None] = request.extensions["timeout"]
        line = self._kept(origin) or _Line(origin, self._connect(origin, timeouts["connect"]))
        connection = line.connection
        try:
            connection.sock.settimeout(timeouts["read"])
            path = request.url.raw_path.decode("ascii")
            connection.putrequest(request.method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in request.headers.raw:
                connection.putheader(name, value)
            connection.endheaders()
            answer = connection.getresponse()
        except BaseException as error:
            connection.close()
            raise _as_httpx(error) from error
        body = _Body(answer, line, self)
        return httpx.Response(
            answer.status,
            headers=answer.getheaders(),
            stream=body,
            extensions={"reason_phrase": answer.reason.encode("ascii", "replace"), READ_INTO: body.read_into},
        )

    def keep(self, line: _Line) -> None:
        with self._lock:
            self._idle.setdefault(line.origin, []).append(line)

    def close(self) -> None:
        with self._lock:
            for lines in self._idle.values():
                for line in lines:
                    line.connection.close()
            self._idle.clear()

    def _kept(self, origin: _Origin) -> _Line | None:
        while True:
            with self._lock:
                if not self._idle.get(origin):
                    return None
                line = self._idle[origin].pop()
            ready = select.poll()
            ready.register(line.connection.sock, select.POLLIN)
            if not ready.poll(0):
                return line
            line.connection.close()  # it can be read before anything was asked: the server has closed it

    def _connect(self, origin: _Origin, timeout: float | None) -> HTTPConnection:
        connection: HTTPConnection
        if origin.scheme == "https":
            with self._lock:
                self._tls = self._tls or httpx.create_ssl_context()
            connection = HTTPSConnection(origin.host, origin.port, timeout=timeout, context=self._tls)
        elif origin.scheme == "http":
            connection = HTTPConnection(origin.host, origin.port, timeout=timeout)
        else:
            raise httpx.UnsupportedProtocol(f"no http(s): {origin.scheme}")
        try:
            connection.connect()
        except TimeoutError as error:
            raise httpx.ConnectTimeout(str(error)) from error
        except (OSError, UnicodeError) as error:  # UnicodeError: a host's name that no DNS can hold
            raise httpx.ConnectError(str(error)) from error
        return connection


class _Body(httpx.SyncByteStream):
    def __init__(self, answer: HTTPResponse, line: _Line, wire: Wire) -> None:
        self._answer, self._line, self._wire = answer, line, wire
        self._whole, self._closed = False, False

    def read_into(self) -> memoryview:
        """The next bytes, in the line's buffer."""
        line, started = self._line, time.monotonic()
        try:
            count = self._answer.readinto(line.buffer[: line.at_once])
        except (OSError, HTTPException) as error:
            raise _as_httpx(error) from error
        if not count:
            if self._answer.length:
                raise httpx.RemoteProtocolError(f"the connection was closed {self._answer.length:,} bytes too early")
            self._whole = True
        soon = time.monotonic() - started < _SOON_S
        line.at_once = min(2 * line.at_once, _BUFFER) if soon else max(line.at_once // 2, min(_LEAST, _BUFFER))
        return line.buffer[:count]

    def __iter__(self) -> Iterator[bytes]:
        while chunk := self.read_into():
            yield bytes(chunk)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._whole and not self._answer.will_close:
            self._wire.keep(self._line)
        else:
            self._line.connection.close()


def _as_httpx(error: BaseException) -> BaseException:
    """httpx's name for an error of a connection; others stay as they are."""
    if isinstance(error, TimeoutError):
        return httpx.ReadTimeout(str(error))
    if isinstance(error, OSError):
        return httpx.ReadError(str(error))
    if isinstance(error, HTTPException):
        return httpx.RemoteProtocolError(f"{type(error).__name__} {error}")
    return error
