"""Runs a command's main function: errors that a user can act on end it with one line, SIGTERM ends it in order."""

import errno
import os
import select
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType

from pipeline import messages
from pipeline.errors import FacemaskError
from pipeline.proxies import correct_environment

_STOPPED = "facemask: stopped: to finish, run the same command again"
_DISK_IS_FULL = (errno.ENOSPC, errno.EDQUOT)
_LASTING = (  # the user has to act
    *_DISK_IS_FULL,
    *(errno.ENOENT, errno.EACCES, errno.EPERM, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENOTEMPTY),
    *(errno.ENAMETOOLONG, errno.ELOOP, errno.EROFS),
)


class _Terminated(KeyboardInterrupt):
    """SIGTERM came."""


def run(main: Callable[[], None]) -> None:
    """Run a command's `main`; a FacemaskError or an OSError ends it with one line on stderr and status 1.

    SIGTERM ends it as Ctrl-C does, in order, and with the status that a shell gives for SIGTERM. Where the reader of
    stdout has gone, as `head` does, it ends without a word, with the status that a shell gives for SIGPIPE.
    """
    try:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, _terminate)
        messages.print_any_text()
        correct_environment()
        main()
        sys.stdout.flush()
    except FacemaskError as error:
        sys.exit(messages.error_line(str(error)))
    except KeyboardInterrupt as stopped:
        print(_STOPPED, file=sys.stderr)
        sys.exit(128 + signal.SIGTERM if isinstance(stopped, _Terminated) else 1)
    except MemoryError:
        sys.exit(messages.error_line("out of memory: end other programs, then run the same command again"))
    except BrokenPipeError:
        if not _is_stdout_closed():
            raise
        sys.exit(128 + signal.SIGPIPE)
    except OSError as error:
        if not error.strerror:  # not of the operating system, but of a library: a bug
            raise
        text = _describe(error)
        # What may pass is no structured error: a flow then tries the stage again.
        sys.exit(messages.error_line(text) if error.errno in _LASTING else f"facemask: error: {text}")


def _describe(error: OSError) -> str:
    """What the operating system refused, in one line."""
    place = f" for {' '.join(os.fsdecode(error.filename).split())}" if isinstance(error.filename, str | bytes) else ""
    if error.errno in _DISK_IS_FULL:
        return f"no space left on disk{place}: free some, then run the same command again"
    return f"{error.strerror}{place}: check that path and its access rights, then run the same command again"


def _is_stdout_closed() -> bool:
    """Whether the reader of stdout has gone; if so, stdout is replaced, because Python flushes it once more at exit."""
    watched = select.poll()
    watched.register(sys.stdout, 0)  # 0: errors only, of which a pipe without a reader is one
    if not watched.poll(0):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one would interrupt the cleaning up
    raise _Terminated
