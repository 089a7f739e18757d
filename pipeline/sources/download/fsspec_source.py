"""Files at any URL that fsspec opens: s3://, gs://, memory://, a local path."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from pipeline.errors import one_line
from pipeline.sources.download.response import PermanentError, RemoteChanged, Response, ResumeInfo, TransientError

_CHUNK_BYTES = 1 << 20


@contextmanager
def open_fsspec(url: str, offset: int, info: ResumeInfo | None) -> Iterator[Response]:
    """Open a file at byte `offset`.

    Raises PermanentError and TransientError, also while the chunks are read.
    """
    import fsspec.core  # imported here: slow to load and rarely needed

    try:
        system, path = fsspec.core.url_to_fs(url)
        now = ResumeInfo(url, str(system.ukey(path)), system.info(path)["size"])
        if offset and info != now:
            raise RemoteChanged("the remote file changed during the download")
        source = system.open(path, "rb")
    except Exception as error:
        raise _translated(error) from error
    with source:
        yield Response(offset, now, _read(source, offset))


def _read(source: IO[bytes], offset: int) -> Iterator[bytes]:
    try:
        source.seek(offset)
        while chunk := source.read(_CHUNK_BYTES):
            yield bytes(chunk)
    except Exception as error:
        raise _translated(error) from error


def _translated(error: Exception) -> PermanentError | TransientError:
    """Return this package's exception for one of a store: each fsspec back end raises those of its own library."""
    if isinstance(error, PermanentError | TransientError):
        return error
    if isinstance(error, ImportError | ValueError):  # no library for this scheme, or an unknown scheme
        return PermanentError(f"this URL cannot be opened ({one_line(error)})", whole_host=True)
    if isinstance(error, FileNotFoundError):
        return PermanentError("no such file")
    if isinstance(error, PermissionError | IsADirectoryError):
        return PermanentError(f"the file cannot be read ({one_line(error)})")
    return TransientError(f"the store failed while reading ({one_line(error)})")
