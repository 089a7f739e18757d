"""The shards of one source while they are written, in work/fetch/SOURCE/.

    00000.zip, 00000.parquet    a shard and the table of its images; the table is written last: with it a shard is whole
    images/, archives/          downloads, until their shards are written
    NAME.zip.images             all images of the downloaded archive NAME.zip are in shards: the archive is deleted

A shard stays as it is while its files are unchanged, so that measuring a grown source costs only the new shards.
"""

import filecmp
import hashlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.paths import INDEX
from pipeline.progress import Progress
from pipeline.sources.download import Failure, download
from pipeline.sources.equal_names import UniqueFiles, unique_files
from pipeline.sources.left_alone import describe_others, unread_archives
from pipeline.sources.network_sources import ARCHIVES, IMAGES
from pipeline.sources.source_files import FileBatch, SourceFile
from pipeline.storage.files import link_or_copy, replace_by_link, replacing, replacing_folder
from pipeline.storage.images import is_image_name
from pipeline.storage.manifest import INDEX_SCHEMA
from pipeline.storage.shards import read_members, write_shard

_SCHEMA = pa.schema([*INDEX_SCHEMA, ("signature", pa.string()), ("batch", pa.string())])


@dataclass(frozen=True)
class ShardStore:
    """Where the shards of a source are written, and how."""

    source: str
    folder: Path
    shard_images: int  # in a shard, at most
    remote_version: str  # of the source's archives at their remote place; another one is downloaded again


def add_batch(store: ShardStore, batch: FileBatch, earlier: Collection[str]) -> list[Failure]:
    """Write the new images of a batch to shards, and return the files that could not be downloaded.

    `earlier` names the batches that were added before: their paths are taken. Shards in which a file changed or was
    removed are written again. Call remove_other_batches before.
    """
    taken = {row["path"]: row["sha256"] for row in _all_rows(store) if row["batch"] in earlier}
    if batch.archive:
        if _is_complete(store, batch, taken):
            return []
        if failures := download([batch.archive], store.folder / ARCHIVES, f"fetch {store.source}"):
            return failures
    with batch.open() as opened:
        files = list(opened)
        unique = unique_files((file for file in files if is_image_name(file.path)), batch.name, taken)
        _print_counts(store, batch, files, unique)
        kept = _drop_changed_shards(store, batch, unique.files)
        failures = _write_shards(store, batch, [file for file in unique.files if file.path not in kept])
    if batch.archive:
        _mark_complete(store, batch, len(unique.files))
    return failures


def _print_counts(store: ShardStore, batch: FileBatch, files: list[SourceFile], unique: UniqueFiles) -> None:
    named = f"fetch {store.source}{f', {batch.name}' if batch.name else ''}"
    others = [file.path for file in files if not is_image_name(file.path)]
    print(f"{named}: {len(unique.files):,} images, {describe_others(others)}", flush=True)
    if archives := unread_archives(others):
        print(f"{named}: {archives}", flush=True)
    if unique.left_out:
        print(f"{named}: {unique.left_out:,} images left out: the source has them already", flush=True)
    if unique.renamed:
        print(
            f"{named}: {len(unique.renamed):,} images have the names of others in this source, and are stored with "
            f"the archive's name: the first is {unique.renamed[0]}",
            flush=True,
        )


def remove_other_batches(store: ShardStore, batches: list[FileBatch]) -> None:
    """Remove half-written shards, and those of batches that the source no longer has."""
    names = {batch.name for batch in batches}
    for shard in store.folder.glob("*.zip"):
        table = shard.with_suffix(".parquet")
        if not table.exists() or pq.read_schema(table) != _SCHEMA or _rows(table)[0]["batch"] not in names:
            _remove(shard)


def publish(store: ShardStore, target: Path) -> bool:
    """Replace the folder `target` by all whole shards and their joined index; return False if there is no shard."""
    shards = _tables(store)
    if not shards:
        return False
    with replacing_folder(target) as made:
        tables = []
        for table in shards:
            shard = table.with_suffix(".zip")
            link_or_copy(shard, made / shard.name)
            tables.append(pq.read_table(table).select(INDEX_SCHEMA.names))
        index = pa.concat_tables(tables).cast(INDEX_SCHEMA).sort_by("path")
        pq.write_table(index, made / INDEX, compression="zstd")
    return True


def share_shards(work: Path, target: Path) -> int:
    """Make the shards in `work` links to the equal ones in `target`, where DVC has put copies; return how many.

    With `cache.type` reflink first, DVC copies a file that has another name into its cache, and links its copy to
    data/raw: the shards here would take the disk a second time. Nothing writes into a shard, here or there.
    """
    shared = 0
    for shard in sorted(work.glob("*.zip")):
        copy = target / shard.name
        if not copy.is_file() or copy.samefile(shard) or copy.stat().st_dev != shard.stat().st_dev:
            continue
        if not filecmp.cmp(shard, copy, shallow=False):
            continue
        with suppress(OSError):  # a disk without hard links: the copies stay
            replace_by_link(shard, copy.resolve())
            shared += 1
    return shared


def _tables(store: ShardStore) -> list[Path]:
    """Return the tables of the whole shards, in order."""
    return sorted(table for table in store.folder.glob("*.parquet") if table.with_suffix(".zip").exists())


def _rows(table: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(
        table, columns=["path", "bytes", "sha256", "signature", "batch"]
    ).to_pylist()
    return rows


def _all_rows(store: ShardStore) -> Iterator[dict[str, Any]]:
    for table in _tables(store):
        yield from _rows(table)


def _drop_changed_shards(store: ShardStore, batch: FileBatch, images: list[SourceFile]) -> set[str]:
    """Remove the batch's shards in which a file changed or was removed; return the paths in its other shards."""
    files = {file.path: file for file in images}
    kept: set[str] = set()
    for table in _tables(store):
        rows = _rows(table)
        if rows[0]["batch"] != batch.name:
            continue
        same = [row["path"] for row in rows if _is_unchanged(row, files.get(row["path"]))]
        if len(same) == len(rows):
            kept.update(same)
            continue
        shard = table.with_suffix(".zip")
        # Downloaded images are not downloaded again: they wait for their new shard with the other downloads.
        downloaded = [path for path in same if files[path].remote]
        for path, content in zip(downloaded, read_members(shard, downloaded), strict=True):
            with replacing(store.folder / IMAGES / path) as beside:
                beside.write_bytes(content)
        _remove(shard)
    return kept


def _is_unchanged(row: dict[str, Any], file: SourceFile | None) -> bool:
    """Return whether a shard's row still holds the file. An empty one is read again: it may have become readable."""
    if file is None or row["signature"] != file.signature:
        return False
    return row["bytes"] > 0 or file.remote is not None or not file.read()


def _remove(shard: Path) -> None:
    shard.with_suffix(".parquet").unlink(missing_ok=True)
    shard.unlink(missing_ok=True)


def _is_complete(store: ShardStore, batch: FileBatch, taken: Mapping[str, str]) -> bool:
    """Return whether all images of a downloaded archive are in shards, under free paths, at the same remote version."""
    try:
        recorded = (store.folder / f"{batch.name}.images").read_text(encoding="utf-8")
    except FileNotFoundError:
        return False
    paths = [row["path"] for row in _all_rows(store) if row["batch"] == batch.name]
    return recorded.split() == [str(len(paths)), *store.remote_version.split()] and not any(map(taken.get, paths))


def _mark_complete(store: ShardStore, batch: FileBatch, images: int) -> None:
    """Record that all images of a downloaded archive are in shards, then delete the archive."""
    with replacing(store.folder / f"{batch.name}.images") as beside:
        beside.write_text(f"{images} {store.remote_version}", encoding="utf-8")
    (store.folder / ARCHIVES / batch.name).unlink()


def _write_shards(store: ShardStore, batch: FileBatch, files: list[SourceFile]) -> list[Failure]:
    """Download the files shard by shard and write each shard of which all files came; return what did not come."""
    progress = Progress(f"fetch {store.source}", len(files))
    numbers = count(max((int(shard.stem) for shard in store.folder.glob("*.zip")), default=-1) + 1)
    failures: list[Failure] = []
    shards = -(-len(files) // store.shard_images)
    for number in range(shards):
        first = number * store.shard_images
        members = files[first : first + store.shard_images]
        remotes = [file.remote for file in members if file.remote]
        label = f"fetch {store.source}, archive {number + 1} of {shards}"
        if failed := download(remotes, store.folder / IMAGES, label):
            failures += failed  # the other downloads of this shard wait for the next run
            if len(failed) < len(remotes):
                continue
            # Nothing came: the host refuses or is down, and further requests would make that worse.
            rest = [file.remote for file in files[first + store.shard_images :] if file.remote]
            return failures + [Failure(remote, failed[-1].reason) for remote in rest]
        _write_one_shard(store.folder / f"{next(numbers):05d}.zip", batch.name, members, progress)
        for remote in remotes:
            (store.folder / IMAGES / remote.path).unlink()
    return failures


def _write_one_shard(shard: Path, batch: str, files: list[SourceFile], progress: Progress) -> None:
    rows: list[dict[str, Any]] = []

    def contents() -> Iterator[tuple[str, bytes]]:
        for file in files:
            content = file.read()
            rows.append(_row(file, content, shard.name, batch))
            yield file.path, content
            progress.add(1)

    write_shard(shard, contents())
    with replacing(shard.with_suffix(".parquet")) as beside:
        pq.write_table(pa.Table.from_pylist(rows, _SCHEMA), beside)


def _row(file: SourceFile, content: bytes, shard: str, batch: str) -> dict[str, Any]:
    return {
        "path": file.path,
        "archive": shard,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "licence": file.licence,
        "author": file.author,
        "url": file.url,
        "subset": file.subset,
        "signature": file.signature,
        "batch": batch,
    }
