"""A Prefect server on 127.0.0.1: its settings, its password, its start, and when it is ready."""

import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO
from urllib.parse import quote

import httpx

from flows.local_server.orphans import HEARTBEAT_S
from flows.processes.dvc_runner import program_env
from flows.processes.guard import guarded
from pipeline.errors import FacemaskError
from pipeline.paths import Paths
from pipeline.storage.files import locked

HOST = "127.0.0.1"
READY_S = 180.0  # an empty database takes 11 s on two idle cores; busy ones take longer
_POLL_S = 0.2


def api_url(port: int) -> str:
    """The address of the API of a server on this machine."""
    return f"http://{HOST}:{port}/api"


def server_env(port: int) -> dict[str, str]:
    """The environment of a server on `port` and of all its clients.

    pyproject.toml has some of these settings too, but Prefect reads it in the current folder only, and these must hold
    anywhere.
    """
    word = password()
    no_proxy = ",".join(filter(None, [os.environ.get("no_proxy") or os.environ.get("NO_PROXY"), HOST, "localhost"]))
    client = client_env()
    return {
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        **_database_env(client["PREFECT_HOME"]),
        **client,
        "PREFECT_API_URL": api_url(port),
        # Every user of this machine can reach 127.0.0.1, and a run executes a command of the caller's choice.
        "PREFECT_SERVER_API_AUTH_STRING": word,
        "PREFECT_API_AUTH_STRING": word,
        # Prefect's default is any origin: every page in the user's browser could then start shell commands here.
        "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": f"http://{HOST}:{port},http://localhost:{port}",
        # A proxy cannot reach this machine's own address.
        "no_proxy": no_proxy,
        "NO_PROXY": no_proxy,
    }


def client_env() -> dict[str, str]:
    """The environment of a client of the server that PREFECT_API_URL names, on whatever machine."""
    home = Paths().work().resolve() / "prefect"  # each folder has its own database, unless PREFECT_HOME is set
    home.mkdir(mode=0o700, exist_ok=True)
    return {
        "PREFECT_HOME": str(home),
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_S),
        "DO_NOT_TRACK": "1",
        # The plugin is not needed; and where Prefect imports itself in a running event loop, it prints a traceback.
        "PREFECT_PLUGINS_ENABLED": "false",
        "PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY": "false",
        **program_env(),
    }


def _database_env(home: str) -> dict[str, str]:
    """The database's address, where Prefect's own, made of the folder `home`, would lead outside of it."""
    if "?" not in home:  # in Prefect's address, all that follows would be options
        return {}
    url = f"sqlite+aiosqlite:///file:{quote(home)}/prefect.db?uri=true"
    return {"PREFECT_SERVER_DATABASE_CONNECTION_URL": url}


def password() -> str:
    """The server's password, USER:WORD. Raises FacemaskError where the file does not have one."""
    if word := os.environ.get("PREFECT_SERVER_API_AUTH_STRING"):
        return word
    file = password_file()
    word = file.read_text(encoding="utf-8", errors="replace").strip()
    if not all(word.partition(":")):
        raise FacemaskError(f"{file} has no password USER:WORD: delete it, the next start makes a new one")
    return word


def password_file() -> Path:
    """The file with this folder's password, which only its owner may read; made if it does not exist."""
    path = Paths().work().resolve() / "prefect-password"
    if not path.exists():
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.") as new:  # mode 600
            new.write(f"facemask:{secrets.token_urlsafe(24)}\n")
            new.flush()
            with suppress(FileExistsError):  # another command was faster; none reads half a file
                os.link(new.name, path)
    return path


def prefect_command(*arguments: str) -> list[str]:
    """The `prefect` command of this installation."""
    return [sys.executable, "-m", "prefect", *arguments]


def port_is_free(port: int) -> bool:
    """Whether a server could use this port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does: old connections do not count
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A port of 127.0.0.1 that is free now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def is_healthy(url: str) -> bool:
    """Whether a Prefect server has its API at `url`, and answers."""
    try:
        return httpx.get(f"{url}/health", timeout=2, trust_env=False).status_code == 200
    except (httpx.HTTPError, httpx.InvalidURL):
        return False


@contextmanager
def running_server(
    port: int, env: Mapping[str, str], output: IO[str] | None, where: str
) -> Iterator[subprocess.Popen[str]]:
    """Run a server for the length of the block, which begins when it answers. An error says that its output is `where`.

    Servers of one workspace start one after the other: of two that make the database at once, one ends with an error.
    """
    command = prefect_command("server", "start", "--host", HOST, "--port", str(port))
    with ExitStack() as stack:
        with locked(Paths().work() / "prefect-start.lock"):
            server = stack.enter_context(guarded(command, Path.cwd(), env, output))
            deadline = time.monotonic() + READY_S
            while not is_healthy(api_url(port)):
                if (status := server.poll()) is not None:
                    raise FacemaskError(f"Prefect's server ended with status {status} while starting: {where}")
                if time.monotonic() > deadline:
                    raise FacemaskError(
                        f"Prefect's server does not answer on {HOST}:{port} after {READY_S:.0f} s: {where}"
                    )
                time.sleep(_POLL_S)
        yield server


@contextmanager
def temporary_server() -> Iterator[dict[str, str]]:
    """Run a server for the length of the block; yields its clients' environment. Its output goes to a file in work/.

    Not Prefect's own ephemeral server: that one outlives a killed flow, has 20 s to start, and starts only where no
    address is set at all, but pyproject.toml sets one for the `prefect` command.
    """
    port = free_port()
    env = server_env(port)
    log = Paths().work() / "prefect-server.log"
    with log.open("w", encoding="utf-8") as output, running_server(port, env, output, f"its output is in {log}"):
        yield env
