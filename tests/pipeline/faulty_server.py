"""A file server on 127.0.0.1 with faults on request, for tests and for benchmarks/download.py.

It also answers as an HTTP proxy: of a full URL in the request line, only the path is used.
"""

import email.utils
import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

PAGE = b"<!DOCTYPE html><html><head><title>Busy</title></head><body>Please wait</body></html>"

Fault = Callable[["Handler", bytes], None]  # answers a request for a file with this content


@dataclass
class Request:
    """A request and its result; `completed` if the correct content was sent to its end."""

    path: str
    host: str | None
    range: str | None
    if_range: str | None
    status: int = 0
    sent: int = 0
    completed: bool = False
    at: float = field(default_factory=time.monotonic)


class Server(ThreadingHTTPServer):
    """Serves `files`. A request for a path uses the next fault of that path's `script`, otherwise that of `choose`."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = files
        self.script: dict[str, list[Fault]] = {}
        self.choose: Callable[[str], Fault | None] = lambda path: None
        self.etags, self.ranges, self.honours_if_range = True, True, True
        self.bytes_per_s: float | None = None  # of each connection
        self.requests: list[Request] = []
        self.connections = 0
        self.release_stalled = threading.Event()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{path}"

    def get_request(self):
        self.connections += 1
        return super().get_request()

    def handle_error(self, request, client_address) -> None:
        """Ignore clients that disconnect, as many tests make them do."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path[1:])
        headers = self.headers
        self.request_log = Request(path, headers.get("Host"), headers.get("Range"), headers.get("If-Range"))
        self.server.requests.append(self.request_log)
        content = self.server.files.get(path)
        if content is None:
            self.answer(404, b"no such file", {})
            return
        script = self.server.script.get(path)
        fault = script.pop(0) if script else self.server.choose(path)
        (fault or serve)(self, content)

    def answer(self, status: int, body: bytes, headers: dict[str, str], length: int | None = None) -> None:
        """Send an answer; one that is shorter than its announced `length` ends with the connection."""
        self.request_log.status = status
        self.send_response(status)
        headers = {"Content-Length": str(len(body) if length is None else length)} | headers
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        rate = self.server.bytes_per_s
        step = 16_384
        for start in range(0, len(body), step):
            chunk = body[start : start + step]
            self.wfile.write(chunk)
            self.request_log.sent += len(chunk)
            if rate:
                self.wfile.flush()
                time.sleep(len(chunk) / rate)
        self.wfile.flush()
        if length is not None and len(body) < length:
            self.close_connection = True

    def range_of(self, content: bytes) -> tuple[int, int, dict[str, str]]:
        """Return status, first byte and headers for the requested range of a content."""
        etag = f'"{hashlib.md5(content).hexdigest()}"'
        headers = {"Content-Type": "application/octet-stream"}
        if self.server.etags:
            headers["ETag"] = etag
        wanted = self.headers.get("Range")
        condition = self.headers.get("If-Range")
        if not wanted or not self.server.ranges:
            return 200, 0, headers
        if condition and condition != etag and self.server.honours_if_range:
            return 200, 0, headers
        start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if start >= len(content):
            return 416, 0, headers | {"Content-Range": f"bytes */{len(content)}"}
        return 206, start, headers | {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}


def serve(handler: Handler, content: bytes) -> None:
    """Answer correctly."""
    status, start, headers = handler.range_of(content)
    body = b"" if status == 416 else content[start:]
    handler.answer(status, body, headers)
    handler.request_log.completed = status != 416


def drop(after: int) -> Fault:
    """Close the connection after that many bytes of the body."""

    def fault(handler: Handler, content: bytes) -> None:
        status, start, headers = handler.range_of(content)
        body = content[start:]
        handler.answer(status, body[: min(after, len(body) - 1)], headers, length=len(body))

    return fault


def stall(after: int) -> Fault:
    """Send that many bytes of the body, then nothing; the connection stays open until `release_stalled`."""

    def fault(handler: Handler, content: bytes) -> None:
        drop(after)(handler, content)
        handler.server.release_stalled.wait()

    return fault


def busy(status: int, after: str) -> Fault:
    """Answer with a Retry-After header."""
    return lambda handler, content: handler.answer(status, b"busy", {"Retry-After": after})


def busy_until(seconds: float) -> Fault:
    """Answer 503 with a date in Retry-After."""
    return lambda handler, content: busy(503, email.utils.formatdate(time.time() + seconds, usegmt=True))(
        handler, content
    )


def status(number: int) -> Fault:
    return lambda handler, content: handler.answer(number, b"no", {})


def wrong_length(handler: Handler, content: bytes) -> None:
    """Send half of the content, with headers that match it."""
    handler.answer(200, content[: len(content) // 2], {"ETag": '"cut"'})


def wrong_bytes(handler: Handler, content: bytes) -> None:
    """Send the right length with other bytes."""
    handler.answer(200, bytes(255 - byte for byte in content[:64]) + content[64:], {"ETag": '"wrong"'})


def html(page: bytes = PAGE, type_: str = "text/html; charset=utf-8") -> Fault:
    return lambda handler, content: handler.answer(200, page, {"Content-Type": type_})


def redirect_loop(handler: Handler, content: bytes) -> None:
    handler.answer(302, b"", {"Location": handler.path})


def chunked(handler: Handler, content: bytes) -> None:
    """Send the content in HTTP chunks, without announcing its length."""
    handler.request_log.status = 200
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    for start in range(0, len(content), 1000):
        piece = content[start : start + 1000]
        handler.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
    handler.wfile.write(b"0\r\n\r\n")
    handler.request_log.sent, handler.request_log.completed = len(content), True


def drop_and_change(after: int, new: bytes) -> Fault:
    """Close the connection after that many bytes, and serve the content `new` from then on."""

    def fault(handler: Handler, content: bytes) -> None:
        drop(after)(handler, content)
        handler.server.files[handler.request_log.path] = new

    return fault


@contextmanager
def serving(files: dict[str, bytes]) -> Iterator[Server]:
    """Run a server in a thread."""
    server = Server(files)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.release_stalled.set()
        server.shutdown()
        server.server_close()
        thread.join()
