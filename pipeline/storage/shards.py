"""Stored zip archives: a thousand images in one file, uncompressed, the same bytes for the same images."""

import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pipeline.errors import FacemaskError
from pipeline.storage.files import replacing

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip can hold: archives do not depend on the clock


def write_shard(path: Path, members: Iterable[tuple[str, bytes]]) -> None:
    """Write (name, content) pairs, in their order, whole or not at all."""
    with replacing(path) as beside, zipfile.ZipFile(beside, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), content)


def read_members(path: Path | str, names: Iterable[str]) -> Iterator[bytes]:
    """Read members by name; `path` may be an address that fsspec opens, of which only what is needed is fetched.

    Raises FacemaskError where the archive is damaged (each member has its CRC).
    """
    try:
        with _opened(path) as file, zipfile.ZipFile(file) as archive:
            for name in names:
                yield archive.read(name)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise FacemaskError(f"archive {path} is damaged ({error}): remove it, then run 'dvc repro' again") from error


@contextmanager
def _opened(path: Path | str) -> Iterator[IO[bytes]]:
    if isinstance(path, Path):
        with path.open("rb") as file:
            yield file
        return
    import fsspec  # slow to load, and rarely asked for

    try:
        with fsspec.open(path, "rb") as file:
            yield file
    except (OSError, ValueError, ImportError) as error:
        raise FacemaskError(f"archive {path} cannot be read ({error}): see measure.archives in params.yaml") from error
