"""Requests to a server that is busy, or refuses."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from flows.local_server import api as api_module
from flows.local_server.api import Api
from pipeline.errors import FacemaskError


@pytest.fixture
def server(monkeypatch) -> Iterator[tuple[Api, list[int]]]:
    """A server that answers with each status of a list in turn, then with {}."""
    statuses: list[int] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(statuses.pop(0) if statuses else 200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None: ...

    monkeypatch.setattr(api_module, "_WAITS_S", (0.0,) * 5)
    serving = HTTPServer(("127.0.0.1", 0), Answer)
    Thread(target=serving.serve_forever, daemon=True).start()
    yield Api(f"http://127.0.0.1:{serving.server_port}/api", None), statuses
    serving.shutdown()
    serving.server_close()


def test_a_request_to_a_busy_server_is_repeated(server):
    api, statuses = server
    statuses += [503, 503]
    assert api.get("/x") == {}


def test_a_server_that_stays_busy_is_one_line(server):
    api, statuses = server
    statuses += [503] * 10
    with pytest.raises(FacemaskError, match="answers 503 to GET /x") as caught:
        api.get("/x")
    assert "\n" not in str(caught.value)
    assert len(statuses) == 10 - 6


def test_a_refused_request_is_not_repeated(server):
    api, statuses = server
    statuses += [401, 200]
    with pytest.raises(FacemaskError, match="answers 401"):
        api.get("/x")
    assert statuses == [200]
