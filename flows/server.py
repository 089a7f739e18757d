"""A Prefect server of our own on 127.0.0.1: its settings, its start, and when it is ready."""

import contextlib
import os
import socket
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from flows.guard import guarded
from flows.stages import program_env
from pipeline.errors import FacemaskError
from pipeline.files import work_folder

HOST = "127.0.0.1"
DEFAULT_PORT = 4200  # Prefect's own; pyproject.toml names it too, for the `prefect` command
READY_S = 180.0  # an empty database takes 11 s on two idle cores; busy ones take longer
_POLL_S = 0.2


def api_url(port: int) -> str:
    return f"http://{HOST}:{port}/api"


def server_env(port: int, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment of a server on `port` and of everything that talks to it.

    pyproject.toml says most of this too, but Prefect reads it in the current folder only and these must hold anywhere.
    """
    return {
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY": "false",
        **program_env(environ),
        "PREFECT_API_URL": api_url(port),
        # Prefect's default is any origin: every page in the user's browser could then start shell commands here.
        "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": f"http://{HOST}:{port},http://localhost:{port}",
        **_without_proxy(environ),
    }


def _without_proxy(environ: Mapping[str, str]) -> dict[str, str]:
    """A proxy that the environment names must not be asked for this machine's own address."""
    named = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    value = ",".join(filter(None, [named, HOST, "localhost"]))
    return {"no_proxy": value, "NO_PROXY": value}


def prefect_command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "prefect", *arguments]


def server_command(port: int) -> list[str]:
    return prefect_command("server", "start", "--host", HOST, "--port", str(port))


def port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does: old connections are no matter
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def is_healthy(port: int) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{api_url(port)}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def wait_until_healthy(port: int, status: Callable[[], int | None], where: str) -> None:
    """Wait for the server whose process `status` polls. `where` tells, in an error, where its output is."""
    deadline = time.monotonic() + READY_S
    while not is_healthy(port):
        if (code := status()) is not None:
            raise FacemaskError(f"Prefect's server ended with status {code} while starting: {where}")
        if time.monotonic() > deadline:
            raise FacemaskError(f"Prefect's server does not answer on {HOST}:{port} after {READY_S:.0f} s: {where}")
        time.sleep(_POLL_S)


@contextlib.contextmanager
def temporary_server() -> Iterator[dict[str, str]]:
    """Run a server for the length of the block; gives its clients' environment. Its output goes to a file in work/.

    Not Prefect's own ephemeral server: that one outlives a killed flow, has 20 s to start, and starts only where no
    address is set at all, but pyproject.toml sets one for the `prefect` command.
    """
    port = free_port()
    env = server_env(port)
    log = work_folder() / "prefect-server.log"
    with (
        log.open("w", encoding="utf-8") as output,
        guarded(server_command(port), cwd=Path.cwd(), env=env, stdout=output, stderr=output) as server,
    ):
        wait_until_healthy(port, server.poll, f"its output is in {log}")
        yield env
