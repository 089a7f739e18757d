"""Access control of the local pages, limits of requests, and the end of the server."""

import os
import signal
import socket
import subprocess
import sys
import threading
from http.client import HTTPConnection
from urllib.parse import parse_qs, urlsplit

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from pipeline.errors import FacemaskError
from pipeline.report import local_page
from pipeline.report.local_page import PageSettings, listening, serving
from tests.conftest import ROOT

MAX_BODY_BYTES = 1000
SETTINGS = PageSettings(MAX_BODY_BYTES, "default-src 'self'")


class OpenPage:
    """A running page. `request` sends the cookie unless its headers replace it."""

    def __init__(self, address):
        self.address = address
        self.port = urlsplit(address).port
        (self.token,) = parse_qs(urlsplit(address).query)["token"]
        self.cookie = f"facemask-{self.port}={self.token}"

    def request(self, method="GET", path="/", body=None, **headers):
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        sent = {"Cookie": self.cookie} | {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, {name: value for name, value in sent.items() if value is not None})
        response = connection.getresponse()
        content = response.read()
        connection.close()
        return response, content

    def raw(self, request):
        """All bytes that the server sends in response, until it closes the connection."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as line:
            line.sendall(request)
            response = b""
            while part := line.recv(1 << 16):
                response += part
        return response


async def echo(request: Request):
    return PlainTextResponse(f"{request.method} {request.query_params} {len(await request.body())}")


async def broken(_request: Request):
    raise RuntimeError("an error of the app")


APP = Starlette(routes=[Route("/", echo, methods=["GET", "POST"]), Route("/broken", broken)])


@pytest.fixture
def opened():
    with listening(0) as listener, serving(APP, listener, SETTINGS) as address:
        yield OpenPage(address)


def test_the_printed_address_sets_the_cookie_and_leads_to_an_address_without_the_token(opened):
    response, _ = opened.request(path=f"/?token={opened.token}&theme=dark", Cookie=None)
    assert (response.status, response.headers["Location"]) == (303, "/?theme=dark")
    cookie = response.headers["Set-Cookie"]
    assert cookie.startswith(f"{opened.cookie};")
    assert {"HttpOnly", "Path=/", "SameSite=strict"} <= {part.strip() for part in cookie.split(";")}


@pytest.mark.parametrize("cookie", [None, "", "facemask-PORT=guess", "facemask-PORT=", "other=TOKEN"])
def test_a_request_without_the_token_is_refused(opened, cookie):
    cookie = cookie and cookie.replace("PORT", str(opened.port)).replace("TOKEN", opened.token)
    for method in ("GET", "POST"):
        response, content = opened.request(method, Cookie=cookie)
        assert response.status == 403
        assert b"?token=" in content and opened.token.encode() not in content


@pytest.mark.parametrize("way", ["cookie", "address"])
def test_the_token_is_accepted_in_the_cookie_and_in_the_address(opened, way):
    path, headers = ("/", {}) if way == "cookie" else (f"/?token={opened.token}", {"Cookie": None})
    response, content = opened.request("POST", path, b"abc", **headers)
    assert (response.status, content) == (200, b"POST  3")


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "elsewhere.example"},
        {"Host": "elsewhere.example:PORT"},
        {"Host": "127.0.0.1:1"},
        {"Host": "127.0.0.1"},
        {"Origin": "http://elsewhere.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "https://127.0.0.1:PORT"},
        {"Origin": "127.0.0.1:PORT"},
        {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors"},
        {"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "cors"},
    ],
)
def test_other_host_names_and_other_origins_are_refused_even_with_the_token(opened, headers):
    headers = {name: value.replace("PORT", str(opened.port)) for name, value in headers.items()}
    assert opened.request("POST", **headers)[0].status == 403
    assert opened.request(path=f"/?token={opened.token}", **headers)[0].status == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "localhost:PORT", "Origin": "http://localhost:PORT"},
        {"Origin": "http://127.0.0.1:PORT", "Sec_Fetch_Site": "same-origin", "Sec_Fetch_Mode": "cors"},
        {"Sec_Fetch_Site": "none", "Sec_Fetch_Mode": "navigate"},
        {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"},  # a link to the page
    ],
)
def test_requests_of_the_page_itself_and_links_to_it_are_accepted(opened, headers):
    headers = {name: value.replace("PORT", str(opened.port)) for name, value in headers.items()}
    assert opened.request(**headers)[0].status == 200


@pytest.mark.parametrize("hosts", [b"", b"Host: 127.0.0.1:PORT\r\nHost: elsewhere.example\r\n"])
def test_a_request_without_a_host_or_with_two_is_refused(opened, hosts):
    hosts = hosts.replace(b"PORT", str(opened.port).encode())
    response = opened.raw(b"GET / HTTP/1.1\r\n" + hosts + f"Cookie: {opened.cookie}\r\n\r\n".encode())
    assert response.startswith((b"HTTP/1.1 400", b"HTTP/1.1 403"))


def test_a_body_with_too_large_a_content_length_is_refused(opened):
    assert opened.request("POST", body=b"x" * MAX_BODY_BYTES)[0].status == 200
    head = f"POST / HTTP/1.1\r\nHost: 127.0.0.1:{opened.port}\r\nCookie: {opened.cookie}\r\nConnection: close\r\n"
    # The body is not sent: a server that waited for it would respond 408.
    response = opened.raw(head.encode() + b"Content-Length: %d\r\n\r\n" % (MAX_BODY_BYTES + 1))
    assert response.startswith(b"HTTP/1.1 413") and b"at once" in response


def test_a_chunked_body_is_refused_as_soon_as_it_is_too_large(opened):
    head = f"POST / HTTP/1.1\r\nHost: 127.0.0.1:{opened.port}\r\nCookie: {opened.cookie}\r\n"
    chunk = b"%x\r\n%s\r\n" % (MAX_BODY_BYTES + 1, b"x" * (MAX_BODY_BYTES + 1))
    # The end of the body is not sent: a server that waited for it would never respond.
    response = opened.raw(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + chunk)
    assert response.startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\r\n\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: HOST\r\nCookie: COOKIE\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: HOST\r\nCookie: COOKIE\r\nContent-Length: many\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: HOST\r\nCookie: COOKIE\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: HOST\r\nCookie: COOKIE\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: HOST\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: HOST\r\nCookie: \xff=\xfe\r\nConnection: close\r\n\r\n",
        b"GET http:// HTTP/1.1\r\nHost: HOST\r\nCookie: COOKIE\r\nConnection: close\r\n\r\n",
    ],
)
def test_a_malformed_request_is_refused_without_a_traceback(opened, request_bytes, capfd):
    host = f"127.0.0.1:{opened.port}".encode()
    response = opened.raw(request_bytes.replace(b"HOST", host).replace(b"COOKIE", opened.cookie.encode()))
    assert response == b"" or response.startswith(b"HTTP/1.1 4")
    assert opened.request()[0].status == 200
    assert "Traceback" not in "".join(capfd.readouterr())


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost:", b"POST"])
def test_a_connection_with_an_incomplete_request_is_closed(monkeypatch, sent):
    monkeypatch.setattr(local_page, "_TIMEOUT_S", 0.2)
    with listening(0) as listener, serving(Starlette(), listener, SETTINGS) as address:
        assert OpenPage(address).raw(sent) == b""


def test_a_body_that_stops_is_answered_with_a_time_out(opened, monkeypatch):
    monkeypatch.setattr(local_page, "_TIMEOUT_S", 0.2)
    head = f"POST / HTTP/1.1\r\nHost: 127.0.0.1:{opened.port}\r\nCookie: {opened.cookie}\r\nContent-Length: 9\r\n\r\n1"
    assert opened.raw(head.encode()).startswith(b"HTTP/1.1 408")


def test_an_error_of_the_app_is_one_line_in_the_terminal_and_not_sent(capfd):
    with listening(0) as listener, serving(APP, listener, SETTINGS) as address:
        response, content = OpenPage(address).request(path="/broken")
    assert response.status == 500 and b"an error" not in content
    printed = capfd.readouterr().err
    assert "an error of the app" in printed and printed.count("\n") == 1


@pytest.mark.parametrize("path", ["/", "/broken", "/nothing"])
def test_each_response_forbids_frames_sniffing_and_caching(opened, path):
    for cookie in (opened.cookie, None):
        headers = opened.request(path=path, Cookie=cookie)[0].headers
        assert headers["Content-Security-Policy"] == SETTINGS.content_security_policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["Cache-Control"] == "no-store"


def test_a_port_in_use_is_one_line_that_names_the_option():
    with listening(0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(FacemaskError, match=f"port {port} is in use.*another --port"), listening(port):
            pass


def test_an_app_that_does_not_start_is_an_error():
    async def broken_app(scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no"})

    with (
        pytest.raises(FacemaskError, match="did not start"),
        listening(0) as listener,
        serving(broken_app, listener, SETTINGS),
    ):
        pass


def test_each_start_has_another_token():
    tokens = set()
    for _ in range(2):
        with listening(0) as listener, serving(Starlette(), listener, SETTINGS) as address:
            tokens.add(OpenPage(address).token)
    assert len(tokens) == 2


def test_an_open_stream_does_not_keep_the_server_from_ending():
    async def endless(scope, receive, send):
        if scope["type"] == "lifespan":
            for step in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{step}.complete"})
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        while True:
            await receive()

    with listening(0) as listener, serving(endless, listener, SETTINGS) as address:
        page = OpenPage(address)
        line = HTTPConnection("127.0.0.1", page.port)
        line.request("GET", "/", headers={"Cookie": page.cookie})
        assert line.getresponse().read(5) == b"begun"
    assert not [thread for thread in threading.enumerate() if thread.name == "local page"]
    line.close()


WAITING = """
import signal
from pipeline.report.local_page import stop_signals
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup, under which the tests may run, ignores it
with stop_signals() as stopped:
    print("waiting", flush=True)
    stopped.wait()
print("cleaned up", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_each_stop_signal_lets_the_page_clean_up(number):
    with subprocess.Popen(
        [sys.executable, "-c", WAITING],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    ) as process:
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(number)
        assert process.stdout.read() == "cleaned up\n"
    assert process.returncode == 0


def test_handlers_of_signals_are_as_before_afterwards_and_ignored_ones_stay_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with local_page.stop_signals() as stopped:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stopped.is_set()
            os.kill(os.getpid(), signal.SIGTERM)
            assert stopped.wait(60)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) is not signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
