"""Verification of fetched shards: every image is compared with its SHA-256 in the index."""

import hashlib
from pathlib import Path

import pandas as pd

from pipeline.errors import FacemaskError
from pipeline.paths import INDEX
from pipeline.progress import Progress
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
