"""A Prefect server of our own on 127.0.0.1: its settings, its start, and when it is ready."""

import contextlib
import os
import secrets
import socket
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from flows.local_server.orphans import HEARTBEAT_S
from flows.processes.dvc_runner import program_env
from flows.processes.guard import guarded
from pipeline.errors import FacemaskError
from pipeline.storage.files import work_folder

HOST = "127.0.0.1"
DEFAULT_PORT = 4200  # Prefect's own; pyproject.toml names it too, for the `prefect` command
READY_S = 180.0  # an empty database takes 11 s on two idle cores; busy ones take longer
_POLL_S = 0.2


def api_url(port: int) -> str:
    return f"http://{HOST}:{port}/api"


def server_env(port: int, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment of a server on `port` and of everything that talks to it.

    pyproject.toml says some of this too, but Prefect reads it in the current folder only and these must hold anywhere.
    """
    word = password(environ)
    return {
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        **client_env(environ),
        "PREFECT_API_URL": api_url(port),
        # 127.0.0.1 is open to every user of this machine, and a run is a command of their choice.
        "PREFECT_SERVER_API_AUTH_STRING": word,
        "PREFECT_API_AUTH_STRING": word,
        # Prefect's default is any origin: every page in the user's browser could then start shell commands here.
        "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": f"http://{HOST}:{port},http://localhost:{port}",
        **_without_proxy(environ),
    }


def client_env(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment of what talks to the server that PREFECT_API_URL names, on whatever machine."""
    return {
        "PREFECT_HOME": str(_own_home()),
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_S),
        "DO_NOT_TRACK": "1",
        # All is named here; and where Prefect imports itself in a running event loop, its plugins end in a traceback.
        "PREFECT_PLUGINS_ENABLED": "false",
        "PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY": "false",
        **program_env(environ),
    }


def password(environ: Mapping[str, str] = os.environ) -> str:
    """What the server asks of everybody, USER:WORD."""
    return environ.get("PREFECT_SERVER_API_AUTH_STRING") or password_file().read_text(encoding="utf-8").strip()


def password_file() -> Path:
    """The file with this folder's password, USER:WORD, for its owner only; made if it is not there."""
    path = work_folder().resolve() / "prefect-password"
    with contextlib.suppress(FileExistsError):
        # Linked into place whole: another command that starts at the same moment must not read half of it.
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        beside.unlink(missing_ok=True)
        beside.touch(mode=0o600, exist_ok=False)
        beside.write_text(f"facemask:{secrets.token_urlsafe(24)}\n", encoding="utf-8")
        try:
            os.link(beside, path)
        finally:
            beside.unlink()
    return path


def _own_home() -> Path:
    """Where Prefect keeps its database unless PREFECT_HOME says otherwise: a folder's runs are its own."""
    home = work_folder().resolve() / "prefect"
    home.mkdir(mode=0o700, exist_ok=True)
    return home


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


def is_healthy(url: str) -> bool:
    """Whether the server whose API is at `url` answers."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{url}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def wait_until_healthy(port: int, status: Callable[[], int | None], where: str) -> None:
    """Wait for the server whose process `status` polls. `where` tells, in an error, where its output is."""
    deadline = time.monotonic() + READY_S
    while not is_healthy(api_url(port)):
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
        guarded(server_command(port), cwd=Path.cwd(), env=env, output=output) as server,
    ):
        wait_until_healthy(port, server.poll, f"its output is in {log}")
        yield env
