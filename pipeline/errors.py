"""The one kind of error that a user is meant to see: a line that says what, where and what to do next."""

import errno
import sys
from collections.abc import Callable

_DISK_IS_FULL = (errno.ENOSPC, errno.EDQUOT)


class FacemaskError(Exception):
    """Something the user can act on. Its text is one line: what is wrong, where, and what to do next."""


def run(main: Callable[[], None]) -> None:
    """Run a command's `main`; a FacemaskError or a full disk ends it with one line on stderr and status 1."""
    try:
        main()
    except FacemaskError as error:
        sys.exit(f"facemask: error: {error}")
    except KeyboardInterrupt:
        sys.exit("facemask: stopped: the same command goes on from here")
    except OSError as error:
        if error.errno not in _DISK_IS_FULL:
            raise
        where = f" for {error.filename}" if error.filename else ""
        sys.exit(f"facemask: error: no space left on disk{where}: free some, then run the same command again")
