"""A web page for one person on this machine: access control, and a server that runs until it is stopped.

Every user of this machine can connect to 127.0.0.1, and every web page in the browser can send requests to it. So each
request must

- name this server as its Host (a page that rebinds its own name to 127.0.0.1 does not), and have no other Origin;
- carry the token of this server: in the printed address (`?token=...`), which sets it as a cookie that scripts cannot
  read and other sites do not send;
- send a body of limited size, without long pauses.

The token keeps out other users; Host and Origin keep out other pages, even where the browser would add the cookie.
"""

import asyncio
import contextlib
import secrets
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from types import FrameType
from typing import Any
from urllib.parse import parse_qsl, urlencode

import uvicorn
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from pipeline.errors import FacemaskError

HOST = "127.0.0.1"
_TIMEOUT_S = 30.0  # the longest wait for a request's headers, or for the next bytes of its body
_SHUTDOWN_S = 2  # for open connections when the server stops, seconds
_CLOSE = {"Connection": "close"}  # the rest of the request is not read
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class PageSettings:
    """What one page allows."""

    max_body_bytes: int  # of a request
    content_security_policy: str


@dataclass(frozen=True)
class Access:
    """Who may use one running server."""

    port: int
    token: str
    settings: PageSettings

    @property
    def hosts(self) -> set[str]:
        """The values of the header Host that name this server."""
        names = {HOST, "localhost"}
        return {f"{name}:{self.port}" for name in names} | (names if self.port == 80 else set())

    @property
    def cookie(self) -> str:
        """The cookie's name. Browsers share cookies between all ports of a host, so it contains the port."""
        return f"facemask-{self.port}"

    def accepts(self, token: str | None) -> bool:
        """Whether `token` is this server's, compared in constant time."""
        return token is not None and secrets.compare_digest(token.encode(), self.token.encode())


@contextlib.contextmanager
def stop_signals() -> Iterator[threading.Event]:
    """Yield an event that Ctrl-C, SIGTERM or SIGHUP sets instead of ending the process, so that it can clean up.

    A signal that is ignored (`nohup`) stays ignored. For the main thread only.
    """
    stopped = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopped.set()

    before = {number: signal.getsignal(number) for number in _SIGNALS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, stop)
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def serve_until_stopped(app: ASGIApp, port: int, settings: PageSettings, saved: str) -> None:
    """Serve `app` until Ctrl-C, SIGTERM or SIGHUP. Prints its address, and `saved`, which says where input goes."""
    with stop_signals() as stopped, listening(port) as listener, serving(app, listener, settings) as address:
        print(f"facemask: open {address} ; {saved}; Ctrl-C ends it", flush=True)
        stopped.wait()


def print_at_end(text: str) -> None:
    """Print `text` below what the terminal shows; it may be closed, which is one of the ways to end."""
    with contextlib.suppress(OSError):
        print(f"\n{text}", flush=True)


@contextlib.contextmanager
def listening(port: int) -> Iterator[socket.socket]:
    """Yield a socket that listens on `port` of 127.0.0.1, 0 for a free one. Raises FacemaskError for a port in use."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port that was released a moment ago is free
        try:
            listener.bind((HOST, port))
            listener.listen()
        except PermissionError as error:
            raise FacemaskError(f"port {port} is for root alone: choose another --port, above 1023") from error
        except OSError as error:
            raise FacemaskError(f"port {port} is in use: end what uses it, or choose another --port") from error
        yield listener


@contextlib.contextmanager
def serving(app: ASGIApp, listener: socket.socket, settings: PageSettings) -> Iterator[str]:
    """Serve `app` under `settings` in a thread, and yield its address with the token.

    On exit it waits for requests in progress. Raises FacemaskError where the app does not start.
    """
    access = Access(listener.getsockname()[1], secrets.token_urlsafe(), settings)
    config = uvicorn.Config(
        guarded(app, access),
        http=_HeaderTimeoutProtocol,
        ws="none",
        loop="asyncio",
        lifespan="on",
        log_level="critical",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=_SHUTDOWN_S,
    )
    server = uvicorn.Server(config)

    def run() -> None:
        with contextlib.suppress(SystemExit):  # uvicorn raises it where the app does not start
            server.run([listener])

    thread = threading.Thread(target=run, name="local page")
    thread.start()
    try:
        while thread.is_alive() and not server.started:
            time.sleep(0.01)
        if not server.started:
            raise FacemaskError("the page's server did not start: see the lines above")
        yield f"http://{HOST}:{access.port}/?token={access.token}"
    finally:
        server.should_exit = True
        thread.join()


def guarded(app: ASGIApp, access: Access) -> ASGIApp:
    """`app` behind access control: a refused request gets one line of text."""

    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # lifespan; there are no WebSockets
            await app(scope, receive, send)
            return
        sender = _ResponseSender(send, access.settings)
        sender.body_unread = "transfer-encoding" in Headers(scope=scope)  # until it has been read
        try:
            response = _check_request(Request(scope), access)
            if response is not None:
                await response(scope, receive, sender.send)
            else:
                await app(scope, _limited(receive, sender, access.settings.max_body_bytes), sender.send)
        except ClientDisconnect:
            pass  # the client has closed the connection
        except HTTPException as error:
            await sender.end(scope, receive, error.status_code, error.detail)
        except Exception as error:  # noqa: BLE001 - one request's error must not end the server
            print(
                f"facemask: {scope['method']} {scope['path']!r} failed: {_one_line(error)}", file=sys.stderr, flush=True
            )
            await sender.end(scope, receive, 500, "this request failed: see the terminal where facemask runs")

    return handle


class _ResponseSender:
    """Sends a response with the page's security headers, and records whether it has begun."""

    body_unread = False  # a body of unknown length has not been read: the connection cannot be used again

    def __init__(self, send: Send, settings: PageSettings) -> None:
        self._send, self._settings, self._begun = send, settings, False

    async def send(self, message: Message) -> None:
        """Send an ASGI message, with the headers if it starts the response."""
        if message["type"] == "http.response.start":
            self._begun = True
            message.setdefault("headers", [])
            headers = MutableHeaders(scope=message)
            if self.body_unread:
                headers.update(_CLOSE)
            headers.update(
                {
                    "Content-Security-Policy": self._settings.content_security_policy,
                    "X-Content-Type-Options": "nosniff",
                    "X-Frame-Options": "DENY",
                    "Cross-Origin-Resource-Policy": "same-origin",
                    "Cross-Origin-Opener-Policy": "same-origin",
                    "Referrer-Policy": "same-origin",
                    "Cache-Control": "no-store",  # no photo stays in the browser's cache
                }
            )
        await self._send(message)

    async def end(self, scope: Scope, receive: Receive, status: int, text: str) -> None:
        """Respond with `text` where no response has begun; the rest of the request's body is not read."""
        if not self._begun:
            await _refusal(status, text)(scope, receive, self.send)


def _check_request(request: Request, access: Access) -> Response | None:
    """The refusal of a request, or the redirect to the address without its token; None for a request that may pass."""
    headers = request.headers
    hosts, origins = headers.getlist("host"), headers.getlist("origin")
    if len(hosts) != 1 or hosts[0] not in access.hosts:
        return _refusal(HTTPStatus.FORBIDDEN, "only under the address that facemask printed")
    if not {f"http://{host}" for host in access.hosts}.issuperset(origins):
        return _refusal(HTTPStatus.FORBIDDEN, "only for pages of this server")
    # Any page may link here, but only this server's own pages (not those of another port) may load or embed parts.
    follows_link = request.method == "GET" and headers.get("sec-fetch-mode") == "navigate"
    if headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and not follows_link:
        return _refusal(HTTPStatus.FORBIDDEN, "only for pages of this server")
    query = parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True)
    in_address = [value for name, value in query if name == "token"]
    sent = [*in_address, request.cookies.get(access.cookie)]
    if not any(access.accepts(token) for token in sent):
        return _refusal(
            HTTPStatus.FORBIDDEN,
            "open the address that facemask printed, with its ?token=...; each start has a new one",
        )
    length = headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > access.settings.max_body_bytes:
        # The connection stays open: the browser sends the rest, which is discarded, and shows this response.
        return PlainTextResponse(_too_large(access.settings.max_body_bytes), HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    if in_address:
        rest = urlencode([pair for pair in query if pair[0] != "token"])
        request.scope["query_string"] = rest.encode()
        if request.method == "GET" and request.scope["path"] == "/":
            return _login(f"/?{rest}" if rest else "/", access)
    return None


def _login(address: str, access: Access) -> Response:
    """A redirect to `address` that sets the cookie."""
    response = RedirectResponse(address, HTTPStatus.SEE_OTHER)
    response.set_cookie(access.cookie, access.token, httponly=True, samesite="strict")
    return response


def _refusal(status: int, text: str) -> Response:
    return PlainTextResponse(f"facemask: {text}\n", status, _CLOSE)


def _too_large(max_bytes: int) -> str:
    return f"more than {max_bytes / (1 << 20):,.0f} MiB at once: send less"


def _limited(receive: Receive, sender: _ResponseSender, max_bytes: int) -> Receive:
    """`receive`, raising HTTPException as soon as a body exceeds `max_bytes` or pauses for too long."""
    seen, complete = 0, False

    async def limited() -> Message:
        nonlocal seen, complete
        if complete:  # the next message is the end of the connection
            return await receive()
        try:
            message = await asyncio.wait_for(receive(), _TIMEOUT_S)
        except TimeoutError as error:
            raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, "the request was not sent to its end", _CLOSE) from error
        seen += len(message.get("body", b""))
        complete = not message.get("more_body", False)
        sender.body_unread = sender.body_unread and not complete
        if seen > max_bytes:
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _too_large(max_bytes), _CLOSE)
        return message

    return limited


def _one_line(error: BaseException) -> str:
    """An unexpected error in one line, with where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {str(error)[:200]!r}{where}"


class _HeaderTimeoutProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 that closes a connection if a request's headers are not complete after _TIMEOUT_S.

    uvicorn itself only limits the pause between two requests.
    """

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._set_timer()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._set_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_timer()
        super().connection_lost(exc)

    def _set_timer(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._cancel_timer()
        elif self._timer is None:
            self._timer = self.loop.call_later(_TIMEOUT_S, self._time_out)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _time_out(self) -> None:
        self._timer = None
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()
