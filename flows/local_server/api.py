"""Questions to a running Prefect server, over its REST API: a tenth of a second, where importing Prefect takes one."""

import base64
import json
import time
import urllib.error
import urllib.request
from typing import Any

from pipeline.errors import FacemaskError

_AGAIN = "stop it ('facemask down') and start it again ('facemask up')"
_HELP = {401: "set PREFECT_API_AUTH_STRING to its USER:WORD"}
_TIMEOUT_S = 30.0  # a busy server, or one whose database is on a slow disk
_BUSY = 503  # nothing was done: SQLite was locked by another writer; Prefect's own client asks again too
_TRIES, _WAIT_S = 6, 0.5


class Api:
    """The server at `url` (which ends in /api), asked with its password, USER:WORD, if it has one."""

    def __init__(self, url: str, password: str | None) -> None:
        self.url = url
        self._headers = {"Content-Type": "application/json"}
        if password:
            self._headers["Authorization"] = f"Basic {base64.b64encode(password.encode()).decode()}"

    def get(self, path: str) -> Any:
        return self._ask("GET", path, None)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        return self._ask("POST", path, body)

    def _ask(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        """The answer's JSON. Raises FacemaskError if there is none, or the server refuses."""
        request = urllib.request.Request(
            f"{self.url}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers=self._headers,
        )
        # A proxy that the environment names must not be asked for this machine's own address.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            text = self._open(opener, request)
        except urllib.error.HTTPError as error:
            said, advice = error.read().decode(errors="replace")[:200], _HELP.get(error.code, _AGAIN)
            raise FacemaskError(
                f"Prefect at {self.url} answers {error.code} to {method} {path}: {said}; {advice}"
            ) from error
        except OSError as error:
            raise FacemaskError(f"Prefect at {self.url} does not answer ({error}): is 'facemask up' busy?") from error
        return json.loads(text) if text else None

    def _open(self, opener: urllib.request.OpenerDirector, request: urllib.request.Request) -> bytes:
        left = _TRIES
        while True:
            left -= 1
            try:
                with opener.open(request, timeout=_TIMEOUT_S) as answer:
                    return bytes(answer.read())
            except urllib.error.HTTPError as error:
                if error.code != _BUSY or not left:
                    raise
            time.sleep(_WAIT_S)
