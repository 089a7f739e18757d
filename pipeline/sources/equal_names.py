"""Files of equal names in several batches of a source: copies are left out, others get their archive's name.

A batch's files depend on the batches before it in the order of the source, and never on what was fetched before.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from pipeline.sources.source_files import SourceFile

LOOSE = "inbox"  # in place of an archive's name, for a loose file


@dataclass(frozen=True)
class UniqueFiles:
    """The files of a batch under paths that no batch before has."""

    files: list[SourceFile]
    left_out: int  # files that an earlier batch has, with the same content or in place of a download
    renamed: list[str]  # new paths of files whose path an earlier batch has with other content


def unique_files(files: Iterable[SourceFile], batch: str, taken: Mapping[str, str]) -> UniqueFiles:
    """Return the files of the batch named `batch`; `taken` maps the paths in earlier batches to SHA-256 digests.

    A file that is downloaded by itself is left out where its path is taken: the user provides it. Others are read and
    compared, and stored as BATCH/PATH if they differ.
    """
    files = list(files)
    own = {file.path for file in files}
    kept: list[SourceFile] = []
    renamed: list[str] = []
    left_out = 0
    for file in files:
        path = _free_path(file, batch, taken, own) if file.path in taken else file.path
        if path is None:
            left_out += 1
            continue
        kept.append(replace(file, path=path))
        if path != file.path:
            renamed.append(path)
    return UniqueFiles(kept, left_out, renamed)


def _free_path(file: SourceFile, batch: str, taken: Mapping[str, str], own: Collection[str]) -> str | None:
    """The path to store a file under whose own path is taken; None to leave it out. `own` are the batch's paths."""
    digest = None if file.remote else hashlib.sha256(file.read()).hexdigest()
    path = file.path
    while path in taken or (path in own and path != file.path):
        if digest is None or taken.get(path) == digest:
            return None
        path = f"{batch or LOOSE}/{path}"
    return path
