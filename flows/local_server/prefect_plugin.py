"""Prefect's plugin of this folder: the `prefect` command finds `facemask up`, and takes short deployment names.

Prefect loads it where `plugins.enabled` is set, as in pyproject.toml. `curate-and-train` then means
`curate-and-train/curate-and-train` (Prefect requires FLOW/DEPLOYMENT), and address and password of the `facemask up`
that runs in this folder need not be typed. Proxies that httpx refuses stop nothing. If Prefect changes inside, its
command works as without this plugin.
"""

import os
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from prefect.plugins import register_hook

from flows.processes.workspace_lock import holder
from pipeline.proxies import correct_environment

_PORT = 4200  # of api.url in pyproject.toml, which Prefect uses where no server is named


@register_hook
def setup_environment(*, ctx: Any) -> None:
    """Prefect's hook, called when Prefect is imported."""
    os.environ.setdefault(
        "DO_NOT_TRACK", "1"
    )  # read after this hook: Prefect's client sends nothing, and prints no notice
    # Any exception: Prefect would print its traceback, and the command works without this.
    with suppress(Exception):
        correct_environment()
    with suppress(Exception):
        find_server()
    require_server(sys.argv)
    with suppress(Exception):
        if "deployment" in sys.argv:  # costs nothing elsewhere: this command imports the client anyway
            allow_short_names()


def find_server() -> None:
    """Set Prefect's address and password in the environment to this folder's server, unless an address is set."""
    # `holder` would make work/.
    if not Path(os.environ.get("FACEMASK_WORK", "work")).is_dir() or not (up := holder("up")):
        return
    address = os.environ.setdefault("PREFECT_API_URL", up["url"])
    if address == up["url"] and (file := up["password_file"]):  # none: the environment has a far server's password
        os.environ.setdefault("PREFECT_API_AUTH_STRING", Path(file).read_text(encoding="utf-8").strip())


def require_server(arguments: list[str], port: int = _PORT) -> None:
    """End `prefect deployment run` with one line where no server can be asked: Prefect would print its traceback."""
    if arguments[1:3] != ["deployment", "run"] or "--help" in arguments or os.environ.get("PREFECT_API_URL"):
        return
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return
    print(f"facemask: error: no server runs in {Path.cwd()}: run 'facemask up' here, then this in a second terminal")
    sys.exit(1)


def allow_short_names() -> None:
    """Make Prefect's client read `NAME` as `NAME/NAME`; a name with a slash is passed on unchanged."""
    from prefect.client.orchestration import PrefectClient

    read = PrefectClient.read_deployment_by_name

    async def read_deployment_by_name(self: PrefectClient, name: str) -> Any:
        return await read(self, name if "/" in name else f"{name}/{name}")

    PrefectClient.read_deployment_by_name = read_deployment_by_name  # type: ignore[assignment, method-assign]
