"""What every source returns: the bytes of a file from an offset on, or one of four exceptions."""

from collections.abc import Iterator
from dataclasses import dataclass


class PermanentError(Exception):
    """The file cannot be downloaded, and repeating the request will not help.

    `whole_host`: the same holds for all other files of that host, for example because of an exceeded quota.
    """

    def __init__(self, reason: str, whole_host: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.whole_host = reason, whole_host


class TransientError(Exception):
    """The request failed and should be repeated.

    `wait_s` is the delay that the server asked for. `unreachable`: no connection to the host could be made.
    """

    def __init__(self, reason: str, wait_s: float = 0.0, unreachable: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.wait_s, self.unreachable = reason, wait_s, unreachable


class RemoteChanged(TransientError):
    """The remote file changed, or the server cannot resume; restart the download."""


class WrongContent(TransientError):
    """The download is complete, but its size or digest is not the expected one."""


class Cancelled(Exception):
    """The download was stopped by the user, or by an error in another thread."""


@dataclass(frozen=True)
class ResumeInfo:
    """What a partial file is a part of; stored as JSON beside it.

    `validator` changes when the remote file does: an ETag, a Last-Modified time, or a store's own version. `total` is
    the size of the whole file in bytes. Either is None where the server does not send it.
    """

    url: str
    validator: str | None = None
    total: int | None = None


@dataclass(frozen=True)
class Response:
    """The content of a file from byte `start` on. Reading `chunks` raises the exceptions of this module."""

    start: int
    info: ResumeInfo
    chunks: Iterator[bytes]
