"""`python -m flows.processes.dvc_process ARGUMENTS...`: the `dvc` command, which signals cannot interrupt.

DVC writes dvc.lock and .dvc/tmp/rwlock in place: interrupted in between, it leaves half a file. Here it ignores the
signals that stop a run, so that it ends by itself once the stage's command has been stopped (flows/processes/guard.py).
"""

import signal
import sys
from types import FrameType

from dvc.cli import main


def ignore(_signal: int, _frame: FrameType | None) -> None:
    """A handler, where SIG_IGN would be inherited by the stage's command."""


if __name__ == "__main__":
    for stopping in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(stopping, ignore)
    sys.exit(main(sys.argv[1:]))
