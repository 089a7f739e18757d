"""Shards: zip files of up to a thousand images, uncompressed; equal images give equal bytes."""

import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pipeline.errors import FacemaskError
from pipeline.storage.files import replacing

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip can hold: shards do not depend on the clock


def write_shard(path: Path, members: Iterable[tuple[str, bytes]]) -> None:
    """Write (name, content) pairs in the given order, whole or not at all."""
    with replacing(path) as beside, zipfile.ZipFile(beside, "w", zipfile.ZIP_STORED) as shard:
        for name, content in members:
            shard.writestr(zipfile.ZipInfo(name, _EPOCH), content)


def read_members(path: Path | str, names: Iterable[str]) -> Iterator[bytes]:
    """Yield the content of members by name; `path` may be a URL that fsspec opens, of which only these are fetched.

    Raises FacemaskError for a damaged shard (each member has a CRC).
    """
    try:
        with _opened(path) as file, zipfile.ZipFile(file) as shard:
            for name in names:
                yield shard.read(name)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise FacemaskError(f"archive {path} is damaged ({error}): remove it, then run 'dvc repro' again") from error


@contextmanager
def _opened(path: Path | str) -> Iterator[IO[bytes]]:
    if isinstance(path, Path):
        with path.open("rb") as file:
            yield file
        return
    import fsspec  # slow to load, and rarely needed

    try:
        with fsspec.open(path, "rb") as file:
            yield file
    except (OSError, ValueError, ImportError) as error:
        raise FacemaskError(f"archive {path} cannot be read ({error}): see measure.archives in params.yaml") from error
