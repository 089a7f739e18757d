"""The files to download: where each is, where it goes, and how its content is checked."""

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

DRIVE_PREFIX = "drive:"
_HEX_DIGITS = {"md5": 32, "sha256": 64}


@dataclass(frozen=True)
class Remote:
    """A file to download.

    `path` is its place in the target folder, separated by "/". `url` is http(s)://..., drive:FILE_ID (Google Drive), or
    any other URL that fsspec opens. `bytes` and `digest` ("md5:HEX" or "sha256:HEX") are verified where they are given.
    """

    path: str
    url: str
    bytes: int | None = None
    digest: str | None = None

    @property
    def on_drive(self) -> bool:
        """Whether the file is on Google Drive."""
        return self.url.startswith(DRIVE_PREFIX)

    @property
    def expected_digest(self) -> tuple[str, str] | None:
        """(algorithm, lower-case hex digits), or None where no digest is known."""
        if self.digest is None:
            return None
        algorithm, _, digits = self.digest.partition(":")
        return algorithm, digits.lower()


@dataclass(frozen=True)
class Failure:
    """A file that could not be downloaded. `reason` is one line: the cause, and when or how to try again."""

    remote: Remote
    reason: str


def check_remotes(files: Iterable[Remote]) -> dict[str, Remote]:
    """Return the files by path, without repetitions.

    Raises ValueError for a path that leaves the target folder, a path that is listed twice with different contents,
    and a digest that is neither md5:HEX nor sha256:HEX.
    """
    by_path: dict[str, Remote] = {}
    for remote in files:
        if {"", ".", ".."} & set(remote.path.split("/")) or "\0" in remote.path:
            raise ValueError(f"path '{remote.path}' leaves the target folder")
        if by_path.setdefault(remote.path, remote) != remote:
            raise ValueError(f"path '{remote.path}' is listed twice, with different URLs, sizes or digests")
        if (expected := remote.expected_digest) and len(expected[1]) != _HEX_DIGITS.get(expected[0]):
            raise ValueError(f"'{remote.digest}' is not a digest of the form md5:HEX or sha256:HEX")
    return by_path


def host_of(url: str) -> str:
    """Return what the failures of a URL are counted under: a server's host and port, or the scheme of a store."""
    try:
        split = urlsplit(url)
    except ValueError:  # not a URL; opening it reports that
        return url
    return split.netloc if split.scheme in ("http", "https") else split.scheme
