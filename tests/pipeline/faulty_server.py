"""A file server on 127.0.0.1 that misbehaves as it is told: for tests, and for benchmarks/download.py."""

import email.utils
import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

PAGE = b"<!DOCTYPE html><html><head><title>Busy</title></head><body>Please wait</body></html>"

Fault = Callable[["Handler", bytes], None]  # answers a request for a file with this content


@dataclass
class Asked:
    """A request and what came of it; `completed` if the right bytes went out up to the last."""

    path: str
    range: str | None
    if_range: str | None
    status: int = 0
    sent: int = 0
    completed: bool = False
    at: float = field(default_factory=time.monotonic)


class Server(ThreadingHTTPServer):
    """Serves `files`; each request for a path first uses up that path's `script`, then `choose` may name a fault."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = files
        self.script: dict[str, list[Fault]] = {}
        self.choose: Callable[[str], Fault | None] = lambda path: None
        self.etags, self.ranges, self.honours_if_range = True, True, True
        self.bytes_per_s: float | None = None
        self.asked: list[Asked] = []
        self.closing = threading.Event()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{path}"

    def asked_for(self, path: str) -> list[Asked]:
        return [asked for asked in self.asked if asked.path == path]

    def handle_error(self, request, client_address) -> None:
        """A client that left is what many tests are about."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        path = unquote(self.path[1:])
        self.asked = Asked(path, self.headers.get("Range"), self.headers.get("If-Range"))
        self.server.asked.append(self.asked)
        content = self.server.files.get(path)
        if content is None:
            self.answer(404, b"no such file", {})
            return
        script = self.server.script.get(path)
        fault = script.pop(0) if script else self.server.choose(path)
        (fault or proper)(self, content)

    def answer(self, status: int, body: bytes, headers: dict[str, str], length: int | None = None) -> None:
        """Send an answer; one that is shorter than its `length` ends with the connection."""
        self.asked.status = status
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
            self.asked.sent += len(chunk)
            if rate:
                self.wfile.flush()
                time.sleep(len(chunk) / rate)
        self.wfile.flush()
        if length is not None and len(body) < length:
            self.close_connection = True

    def part(self, content: bytes) -> tuple[int, int, dict[str, str]]:
        """Status, first byte and headers for what was asked of a content."""
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


def proper(handler: Handler, content: bytes) -> None:
    status, start, headers = handler.part(content)
    body = b"" if status == 416 else content[start:]
    handler.answer(status, body, headers)
    handler.asked.completed = status != 416


def drop(after: int) -> Fault:
    """The connection is closed after so many bytes of the body."""

    def fault(handler: Handler, content: bytes) -> None:
        status, start, headers = handler.part(content)
        body = content[start:]
        handler.answer(status, body[: min(after, len(body) - 1)], headers, length=len(body))

    return fault


def stall(after: int) -> Fault:
    """Nothing more comes after so many bytes, and the connection stays open."""

    def fault(handler: Handler, content: bytes) -> None:
        drop(after)(handler, content)
        handler.server.closing.wait(60)

    return fault


def busy(status: int, after: str) -> Fault:
    return lambda handler, content: handler.answer(status, b"busy", {"Retry-After": after})


def busy_until(seconds: float) -> Fault:
    """503 with a date."""
    return lambda handler, content: busy(503, email.utils.formatdate(time.time() + seconds, usegmt=True))(
        handler, content
    )


def status(number: int) -> Fault:
    return lambda handler, content: handler.answer(number, b"no", {})


def cut(handler: Handler, content: bytes) -> None:
    """The wrong length, with headers that fit it."""
    handler.answer(200, content[: len(content) // 2], {"ETag": '"cut"'})


def wrong(handler: Handler, content: bytes) -> None:
    """The right length, another content."""
    handler.answer(200, bytes(255 - byte for byte in content[:64]) + content[64:], {"ETag": '"wrong"'})


def html(page: bytes = PAGE, type_: str = "text/html; charset=utf-8") -> Fault:
    return lambda handler, content: handler.answer(200, page, {"Content-Type": type_})


def circle(handler: Handler, content: bytes) -> None:
    handler.answer(302, b"", {"Location": handler.path})


def chunked(handler: Handler, content: bytes) -> None:
    """Without a length."""
    handler.asked.status = 200
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    for start in range(0, len(content), 1000):
        piece = content[start : start + 1000]
        handler.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
    handler.wfile.write(b"0\r\n\r\n")
    handler.asked.sent, handler.asked.completed = len(content), True


def drop_and_change(after: int, new: bytes) -> Fault:
    """The connection is closed, and another file stands there when it is asked for the rest."""

    def fault(handler: Handler, content: bytes) -> None:
        drop(after)(handler, content)
        handler.server.files[handler.asked.path] = new

    return fault


@contextmanager
def serving(files: dict[str, bytes]) -> Iterator[Server]:
    server = Server(files)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
