"""Measurements of the files of folders, kept beside the page of `facemask curate`, so that a second run measures only
what is new: OUT/index.measured/KEY-NUMBER.parquet, each with the rows of up to PIECE images.

KEY is a digest of all that a measurement depends on but the file: code, network and settings. A file counts as measured
while its path, size and time are those of its row. A table is removed once no row of it is of use.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.curation.measure_params import MeasureParams
from pipeline.curation.measuring import measure_files, measurement_digest, open_workers
from pipeline.progress import Progress
from pipeline.storage.files import replacing
from pipeline.storage.manifest import MEASURED_SCHEMA, with_column
from pipeline.tools.folder_layout import ImageFolder

PIECE = 400  # images in a table: what a stop costs at most, and all that is in memory, eight kilobytes each
_STATE = pa.schema([("file", pa.string()), ("file_bytes", pa.int64()), ("mtime_ns", pa.int64())])
_SCHEMA = pa.schema([*MEASURED_SCHEMA, *_STATE])

FileKey = tuple[str, int, int]
"""Absolute path, size and modification time in ns: equal keys mean equal content."""


@dataclass(frozen=True)
class _Row:
    """Where the measurements of a file are."""

    table: Path
    number: int


def kept_folder(page: Path) -> Path:
    """The folder of the measurements beside a page."""
    return page.with_suffix(".measured")


def is_kept_folder(folder: Path) -> bool:
    """Whether a folder holds such tables and nothing else."""
    return folder.is_dir() and all(path.suffix == ".parquet" or path.name.startswith(".") for path in folder.iterdir())


def measured_tables(
    sources: Sequence[ImageFolder], params: MeasureParams, kept: Path
) -> Iterator[tuple[ImageFolder, pa.Table]]:
    """Yield the measurements of all images, MEASURED_SCHEMA, up to PIECE of a source at a time; those in `kept` first.

    New ones are added to `kept`. Prints how many images were measured before, and progress.
    """
    kept.mkdir(exist_ok=True)
    prefix = measurement_digest(params)[:16]
    known = _known_rows(kept, prefix)
    used: set[Path] = set()
    missing: list[tuple[ImageFolder, list[str]]] = []
    for source in sources:
        keys = {path: _file_key(source.folder / path) for path in source.images}
        found = {path: known[key] for path, key in keys.items() if key in known}
        missing.append((source, [path for path in source.images if path not in found]))
        for table in sorted({row.table for row in found.values()}):
            rows = sorted((row.number, path) for path, row in found.items() if row.table == table)
            kept_rows = pq.read_table(table, columns=MEASURED_SCHEMA.names).take([number for number, _ in rows])
            # Under the paths that the images have in their source now.
            yield source, with_column(kept_rows, "path", [path for _, path in rows])
            used.add(table)
    total, count = sum(len(source.images) for source in sources), sum(len(paths) for _, paths in missing)
    print(f"curate: {total - count:,} images were measured before", flush=True)
    for old in set(kept.glob("*.parquet")) - used:
        old.unlink()
    if count:
        yield from _measured_now(missing, params, kept, prefix)


def _measured_now(
    missing: Sequence[tuple[ImageFolder, list[str]]], params: MeasureParams, kept: Path, prefix: str
) -> Iterator[tuple[ImageFolder, pa.Table]]:
    """Measure images, and yield and keep their tables."""
    progress = Progress("measure", sum(len(paths) for _, paths in missing))
    number = max((int(path.stem.rpartition("-")[2]) for path in kept.glob(f"{prefix}-*.parquet")), default=-1)
    with ExitStack() as stack:
        workers = stack.enter_context(open_workers(params))
        for source, paths in missing:
            for start in range(0, len(paths), PIECE):
                piece = paths[start : start + PIECE]
                # Before they are read: a file that changes now is new later.
                keys = [_file_key(source.folder / path) for path in piece]
                table = measure_files(workers, source.folder, piece, progress)
                number += 1
                with replacing(kept / f"{prefix}-{number:06d}.parquet") as beside:
                    pq.write_table(_with_state(table, keys), beside, compression="zstd")
                yield source, table


def _known_rows(kept: Path, prefix: str) -> dict[FileKey, _Row]:
    """The rows of all tables by file; not those of files that could not be read, which may be readable now."""
    known: dict[FileKey, _Row] = {}
    for path in sorted(kept.glob(f"{prefix}-*.parquet")):
        try:
            if not pq.read_schema(path).equals(_SCHEMA):
                continue
            state = pq.read_table(path, columns=[*_STATE.names, "bytes"])
        except (OSError, pa.ArrowInvalid):  # cut short, on a full disk perhaps: its images are measured again
            continue
        for number, row in enumerate(state.to_pylist()):
            if row["bytes"]:
                known[row["file"], row["file_bytes"], row["mtime_ns"]] = _Row(path, number)
    return known


def _file_key(path: Path) -> FileKey:
    try:
        found = path.stat()
    except OSError:  # a link to nothing: a row of its own, which is never found again
        return str(path.absolute()), -1, -1
    return str(path.absolute()), found.st_size, found.st_mtime_ns


def _with_state(table: pa.Table, keys: Sequence[FileKey]) -> pa.Table:
    columns = [pa.array(values, field.type) for values, field in zip(zip(*keys, strict=True), _STATE, strict=True)]
    return pa.Table.from_arrays([*table.columns, *columns], schema=_SCHEMA)
