"""`facemask down`: end this folder's `facemask up`, and all that runs under it."""

import os
import signal
import time
from pathlib import Path

from flows.processes.guard import STOP_S
from flows.processes.workspace_lock import holder
from pipeline.errors import FacemaskError

_PATIENCE_S = 4 * STOP_S  # workers, then the server, each with its grace time
_POLL_S = 0.1


def down() -> None:
    """Send SIGTERM to `facemask up`, and wait until it has ended. Nothing to stop is no error."""
    running = holder("up")
    if running is None:
        print(f"facemask: not up in {Path.cwd()}: nothing to stop")
        return
    pid = running["pid"]
    try:
        os.kill(pid, signal.SIGTERM)
    except (ProcessLookupError, PermissionError) as error:
        raise FacemaskError(
            f"'facemask up' of {Path.cwd()} has pid {pid}, which cannot be stopped from here ({error.strerror}): "
            "stop it as the user, or in the container, that started it"
        ) from error
    started = time.monotonic()
    while (now := holder("up")) and now["pid"] == pid:
        if time.monotonic() - started > _PATIENCE_S:
            raise FacemaskError(f"'facemask up' (pid {pid}) has not ended within {_PATIENCE_S:.0f} s: 'kill -9 {pid}'")
        time.sleep(_POLL_S)
    print(f"facemask: stopped (pid {pid}), in {time.monotonic() - started:.0f} s")
