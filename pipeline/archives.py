"""Stored zip archives: a thousand images in one file, uncompressed, the same bytes for the same images."""

import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from pipeline.errors import FacemaskError
from pipeline.files import replacing

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip can hold: archives do not depend on the clock


def write_archive(path: Path, members: Iterable[tuple[str, bytes]]) -> None:
    """Write (name, content) pairs, in their order, whole or not at all."""
    with replacing(path) as beside, zipfile.ZipFile(beside, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), content)


def read_members(path: Path, names: Iterable[str]) -> Iterator[bytes]:
    """Read members by name. Raises FacemaskError where the archive is damaged (each member has its CRC)."""
    try:
        with zipfile.ZipFile(path) as archive:
            for name in names:
                yield archive.read(name)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise FacemaskError(f"archive {path} is damaged ({error}): remove it, then run 'dvc repro' again") from error
