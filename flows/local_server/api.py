"""REST calls to a running Prefect server, where importing Prefect's own client would cost more than the call.

Measured: `import httpx` takes 0.2 s of CPU time, `import prefect.client.orchestration` 1.7 s, which `facemask status`
would spend each time.
"""

import time
from typing import Any

import httpx

from pipeline.errors import FacemaskError

_RESTART = "stop it ('facemask down') and start it again ('facemask up')"
_HELP = {401: "set PREFECT_API_AUTH_STRING to its USER:WORD"}
_TIMEOUT_S = 30.0  # for a busy server, or one with its database on a slow disk
_BUSY = 503  # nothing was done: SQLite was locked by another writer; Prefect's own client tries again too
_WAITS_S = (0.5,) * 5


class Api:
    """The server at `url` (which ends in /api), with its password, USER:WORD, if it has one."""

    def __init__(self, url: str, password: str | None) -> None:
        self.url = url
        user, _, word = (password or "").partition(":")
        # Without the environment: its proxy cannot reach this machine's own address.
        self._client = httpx.Client(auth=(user, word) if password else None, timeout=_TIMEOUT_S, trust_env=False)

    def get(self, path: str) -> Any:
        """Returns the JSON of the response. Raises FacemaskError if there is none, or the server refuses."""
        return self._request("GET", path)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """As `get`."""
        return self._request("POST", path, body)

    def _request(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        try:
            for wait_s in (*_WAITS_S, None):
                response = self._client.request(method, self.url + path, json=body)
                if response.status_code != _BUSY or wait_s is None:
                    break
                time.sleep(wait_s)
        except httpx.HTTPError as error:
            raise FacemaskError(f"Prefect at {self.url} does not answer ({error}): is 'facemask up' busy?") from error
        if response.is_error:
            raise FacemaskError(
                f"Prefect at {self.url} answers {response.status_code} to {method} {path}: "
                f"{' '.join(response.text.split())[:200]}; {_HELP.get(response.status_code, _RESTART)}"
            )
        return response.json() if response.content else None
