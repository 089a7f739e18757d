"""What the `prefect` command learns in this folder: the short deployment name, and where `facemask up` answers.

Prefect calls it through its plugin hook where `plugins.enabled` is set, as in pyproject.toml. `curate-and-train` then
means `curate-and-train/curate-and-train` (Prefect itself demands FLOW/DEPLOYMENT), and address and password of the
`facemask up` that runs in this folder need not be typed. Whatever Prefect changes, its command works as without this.
"""

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from prefect.plugins import register_hook

from flows.processes.workspace_lock import holder


@register_hook
def setup_environment(*, ctx: Any) -> None:
    """Prefect's hook, called when Prefect is imported."""
    # Any exception: Prefect would print its traceback, and the command works without this.
    with suppress(Exception):
        find_server()
    with suppress(Exception):
        if "deployment" in sys.argv:  # costs nothing elsewhere: this command imports the client anyway
            allow_short_names()


def find_server() -> None:
    """Name this folder's running server to this process, unless the environment names one."""
    # No work/ is made by a look at it.
    if not Path(os.environ.get("FACEMASK_WORK", "work")).is_dir() or not (running := holder("up")):
        return
    named = os.environ.setdefault("PREFECT_API_URL", running["url"])
    if named == running["url"] and (file := running["password_file"]):  # none: the environment has a far server's
        os.environ.setdefault("PREFECT_API_AUTH_STRING", Path(file).read_text(encoding="utf-8").strip())


def allow_short_names() -> None:
    """Let Prefect's client read `NAME` as `NAME/NAME`; a name with a slash goes through untouched."""
    from prefect.client.orchestration import PrefectClient

    read = PrefectClient.read_deployment_by_name

    async def read_deployment_by_name(self: PrefectClient, name: str) -> Any:
        return await read(self, name if "/" in name else f"{name}/{name}")

    PrefectClient.read_deployment_by_name = read_deployment_by_name  # type: ignore[method-assign]
