"""`python -m flows.processes.dvc_process ARGUMENTS...`: the `dvc` command, which signals cannot interrupt.

DVC writes dvc.lock and .dvc/tmp/rwlock in place: interrupted in between, it leaves half a file. Here it ignores the
signals that stop a run, so that it ends by itself once the stage's command has been stopped (flows/processes/guard.py).
"""

import signal
import sys

from dvc.cli import main

if __name__ == "__main__":
    for stopping in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(stopping, lambda _signal, _frame: None)  # the stage's command would inherit SIG_IGN
    sys.exit(main(sys.argv[1:]))
