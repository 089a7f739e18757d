"""The guard of the local pages: who gets an answer, how much may be sent, and that the server ends cleanly."""

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
from pipeline.report.local_page import Rules, listening, serving
from tests.conftest import ROOT

MAX_BYTES = 1000
RULES = Rules(MAX_BYTES, "default-src 'self'")


class Opened:
    """A running page: its port, its token, and `ask`, which sends the cookie unless told otherwise."""

    def __init__(self, address):
        self.address = address
        self.port = urlsplit(address).port
        (self.token,) = parse_qs(urlsplit(address).query)["token"]
        self.cookie = f"facemask-{self.port}={self.token}"

    def ask(self, method="GET", path="/", body=None, **headers):
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        sent = {"Cookie": self.cookie} | {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, {name: value for name, value in sent.items() if value is not None})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer, content

    def raw(self, request):
        """All that the server answers to these bytes, until it closes the connection."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as line:
            line.sendall(request)
            answer = b""
            while part := line.recv(1 << 16):
                answer += part
        return answer


async def echo(request: Request):
    return PlainTextResponse(f"{request.method} {request.query_params} {len(await request.body())}")


async def broken(_request: Request):
    raise RuntimeError("a fault of the page")


APP = Starlette(routes=[Route("/", echo, methods=["GET", "POST"]), Route("/broken", broken)])


@pytest.fixture
def opened():
    with listening(0) as listener, serving(APP, listener, RULES) as address:
        yield Opened(address)


def test_the_printed_address_sets_the_cookie_and_leads_to_an_address_without_the_token(opened):
    answer, _ = opened.ask(path=f"/?token={opened.token}&theme=dark", Cookie=None)
    assert (answer.status, answer.headers["Location"]) == (303, "/?theme=dark")
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith(f"{opened.cookie};")
    assert {"HttpOnly", "Path=/", "SameSite=strict"} <= {part.strip() for part in cookie.split(";")}


@pytest.mark.parametrize("cookie", [None, "", "facemask-PORT=guess", "facemask-PORT=", "other=TOKEN"])
def test_nobody_without_the_token_gets_an_answer(opened, cookie):
    cookie = cookie and cookie.replace("PORT", str(opened.port)).replace("TOKEN", opened.token)
    for method in ("GET", "POST"):
        answer, content = opened.ask(method, Cookie=cookie)
        assert answer.status == 403
        assert b"?token=" in content and opened.token.encode() not in content


@pytest.mark.parametrize("way", ["cookie", "header", "address"])
def test_the_token_is_accepted(opened, way):
    credentials = {
        "cookie": {},
        "header": {"Cookie": None, "X_Facemask_Token": opened.token},
        "address": {"Cookie": None},
    }[way]
    path = f"/?token={opened.token}" if way == "address" else "/"
    answer, content = opened.ask("POST", path, b"abc", **credentials)
    assert (answer.status, content) == (200, b"POST  3")


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
def test_other_names_and_other_pages_are_refused_with_the_token_too(opened, headers):
    headers = {name: value.replace("PORT", str(opened.port)) for name, value in headers.items()}
    assert opened.ask("POST", **headers)[0].status == 403
    assert opened.ask(path=f"/?token={opened.token}", **headers)[0].status == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "localhost:PORT", "Origin": "http://localhost:PORT"},
        {"Origin": "http://127.0.0.1:PORT", "Sec_Fetch_Site": "same-origin", "Sec_Fetch_Mode": "cors"},
        {"Sec_Fetch_Site": "none", "Sec_Fetch_Mode": "navigate"},
        {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"},  # a link to the page
    ],
)
def test_the_page_itself_and_links_to_it_are_answered(opened, headers):
    headers = {name: value.replace("PORT", str(opened.port)) for name, value in headers.items()}
    assert opened.ask(**headers)[0].status == 200


@pytest.mark.parametrize("hosts", [b"", b"Host: 127.0.0.1:PORT\r\nHost: elsewhere.example\r\n"])
def test_a_request_with_no_host_or_two_is_refused(opened, hosts):
    hosts = hosts.replace(b"PORT", str(opened.port).encode())
    answer = opened.raw(b"GET / HTTP/1.1\r\n" + hosts + f"Cookie: {opened.cookie}\r\n\r\n".encode())
    assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 403"))


def test_a_body_that_says_it_is_too_large_is_refused(opened):
    assert opened.ask("POST", body=b"x" * MAX_BYTES)[0].status == 200
    head = f"POST / HTTP/1.1\r\nHost: 127.0.0.1:{opened.port}\r\nCookie: {opened.cookie}\r\nConnection: close\r\n"
    # Nothing of the body is sent: a server that waited for it would answer 408.
    answer = opened.raw(head.encode() + b"Content-Length: %d\r\n\r\n" % (MAX_BYTES + 1))
    assert answer.startswith(b"HTTP/1.1 413") and b"at once" in answer


def test_a_body_that_grows_too_large_is_refused_while_it_comes(opened):
    head = f"POST / HTTP/1.1\r\nHost: 127.0.0.1:{opened.port}\r\nCookie: {opened.cookie}\r\n"
    chunk = b"%x\r\n%s\r\n" % (MAX_BYTES + 1, b"x" * (MAX_BYTES + 1))
    # No end of the body is sent: a server that waited for it would never answer.
    answer = opened.raw(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + chunk)
    assert answer.startswith(b"HTTP/1.1 413")


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
        b"GET / HTTP/1.1\r\nHost: HOST\r\nCookie: \xff=\xfe\r\nX-Facemask-Token: \xff\r\nConnection: close\r\n\r\n",
        b"GET http:// HTTP/1.1\r\nHost: HOST\r\nCookie: COOKIE\r\nConnection: close\r\n\r\n",
    ],
)
def test_a_malformed_request_is_refused_without_a_traceback(opened, request_bytes, capfd):
    host = f"127.0.0.1:{opened.port}".encode()
    answer = opened.raw(request_bytes.replace(b"HOST", host).replace(b"COOKIE", opened.cookie.encode()))
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
    assert opened.ask()[0].status == 200
    assert "Traceback" not in "".join(capfd.readouterr())


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost:", b"POST"])
def test_a_connection_that_sends_no_whole_request_is_closed(monkeypatch, sent):
    monkeypatch.setattr(local_page, "_TIMEOUT_S", 0.2)
    with listening(0) as listener, serving(Starlette(), listener, RULES) as address:
        assert Opened(address).raw(sent) == b""


def test_a_body_that_stops_coming_is_given_up(opened, monkeypatch):
    monkeypatch.setattr(local_page, "_TIMEOUT_S", 0.2)
    head = f"POST / HTTP/1.1\r\nHost: 127.0.0.1:{opened.port}\r\nCookie: {opened.cookie}\r\nContent-Length: 9\r\n\r\n1"
    assert opened.raw(head.encode()).startswith(b"HTTP/1.1 408")


def test_a_fault_of_the_page_is_one_line_in_the_terminal_and_none_of_it_is_sent(capfd):
    with listening(0) as listener, serving(APP, listener, RULES) as address:
        answer, content = Opened(address).ask(path="/broken")
    assert answer.status == 500 and b"a fault" not in content
    told = capfd.readouterr().err
    assert "a fault of the page" in told and told.count("\n") == 1


@pytest.mark.parametrize("path", ["/", "/broken", "/nothing"])
def test_every_answer_forbids_frames_sniffing_and_caching(opened, path):
    for cookie in (opened.cookie, None):
        headers = opened.ask(path=path, Cookie=cookie)[0].headers
        assert headers["Content-Security-Policy"] == RULES.policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["Cache-Control"] == "no-store"


def test_a_port_in_use_is_one_line_with_the_way_out():
    with listening(0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(FacemaskError, match=f"port {port} is in use.*another --port"), listening(port):
            pass


def test_an_app_that_does_not_start_is_an_error_and_not_a_wait():
    async def lifeless(scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no"})

    with (
        pytest.raises(FacemaskError, match="did not start"),
        listening(0) as listener,
        serving(lifeless, listener, RULES),
    ):
        pass


def test_each_start_has_another_token():
    tokens = set()
    for _ in range(2):
        with listening(0) as listener, serving(Starlette(), listener, RULES) as address:
            tokens.add(Opened(address).token)
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

    with listening(0) as listener, serving(endless, listener, RULES) as address:
        page = Opened(address)
        line = HTTPConnection("127.0.0.1", page.port)
        line.request("GET", "/", headers={"Cookie": page.cookie})
        assert line.getresponse().read(5) == b"begun"
    assert not [thread for thread in threading.enumerate() if thread.name == "local page"]
    line.close()


WAITING = """
from pipeline.report.local_page import stop_signals
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
