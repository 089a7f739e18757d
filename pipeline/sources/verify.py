"""Verification of what was fetched: shards against their index, and the user's own files against it."""

import hashlib
from pathlib import Path

import pandas as pd

from pipeline.errors import FacemaskError
from pipeline.paths import INDEX, Paths
from pipeline.progress import Progress
from pipeline.sources.config import Source, local_path
from pipeline.sources.equal_names import LOOSE
from pipeline.sources.source_files import local_batches
from pipeline.storage.manifest import INDEX_SCHEMA, read_table
from pipeline.storage.shards import read_members


def verify(raw: Path) -> None:
    """Read each shard of a fetched source in `raw`, data/raw/NAME, and compare each image with the index.

    Raises FacemaskError, naming the damaged shards, or if there is no index.
    """
    name = raw.name
    index = read_table(raw / INDEX, INDEX_SCHEMA, f"dvc repro fetch@{name}").to_pandas()
    progress = Progress(f"verify {name}", len(index))
    damaged = [
        str(archive) for archive, rows in index.groupby("archive") if not _is_whole(raw / str(archive), rows, progress)
    ]
    if damaged:
        raise FacemaskError(
            f"{len(damaged)} archives of {raw}/ are damaged ({', '.join(damaged)}): remove these, and those of the "
            f"same names in work/fetch/{name}/, then run 'facemask fetch {name}'"
        )


def _is_whole(archive: Path, rows: pd.DataFrame, progress: Progress) -> bool:
    try:
        contents = read_members(archive, rows["path"])
        for content, sha256 in zip(contents, rows["sha256"], strict=True):
            progress.add(1)
            if hashlib.sha256(content).hexdigest() != sha256:
                return False
    except FacemaskError:
        return False
    return True


def verify_local_files(name: str, source: Source, paths: Paths) -> None:
    """Read each image that the user provides for a source, and compare it with what was fetched under its name.

    Fetch takes a file of the same size and time for the same file. Raises FacemaskError for files with other content.
    """
    where = local_path(source) or paths.inbox / name
    index = read_table(paths.raw / name / INDEX, INDEX_SCHEMA, f"dvc repro fetch@{name}").to_pandas()
    fetched = dict(zip(index["path"], index["sha256"], strict=True))
    changed: list[str] = []
    for batch in local_batches(where):
        with batch.open() as files:
            for file in files:
                known = [fetched.get(path) for path in (file.path, f"{batch.name or LOOSE}/{file.path}")]
                if any(known) and hashlib.sha256(file.read()).hexdigest() not in known:
                    changed.append(f"{batch.name}/{file.path}".lstrip("/"))
    if changed:
        raise FacemaskError(
            f"{len(changed):,} files of {where} are others than those that were fetched, the first is {changed[0]}: "
            f"give the files, or the archives that hold them, a new time ('touch'), then run 'facemask fetch {name}'"
        )
