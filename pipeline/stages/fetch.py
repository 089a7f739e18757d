"""Stage `fetch`: a source's images into stored archives of up to a thousand, with an index.

    data/raw/SOURCE/00000.zip ...   the archives; one once written never changes while its files stay as they were
    data/raw/SOURCE/index.parquet   a row for every image (manifest.INDEX_SCHEMA)

Half-done work lies in work/fetch/SOURCE/: the archives written so far, each with its own table beside it, and what was
downloaded for the next one.
"""

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field
from pydantic.dataclasses import dataclass

from pipeline import params
from pipeline.errors import FacemaskError
from pipeline.params import STRICT
from pipeline.progress import Progress
from pipeline.sources import network_sources as network
from pipeline.sources.config import FfhqSource, FolderSource, NamedSource, load_sources
from pipeline.sources.download import Failure, download
from pipeline.sources.source_files import FileBatch, SourceFile, folder_batches, no_images, sample_batch
from pipeline.storage.files import link_or_copy, replacing, replacing_folder, work_folder
from pipeline.storage.images import is_image_name
from pipeline.storage.manifest import INDEX_SCHEMA
from pipeline.storage.shards import read_members, write_shard
from pipeline.synthetic.layout import SampleParams

RAW, INBOX = Path("data/raw"), Path("data/inbox")
LANDED = (
    INBOX / ".landed"
)  # what was seen to land (pipeline/sources/change_detection.py); hidden, so that it is no image
_STATE_SCHEMA = pa.schema([*INDEX_SCHEMA, ("signature", pa.string()), ("lot", pa.string())])
_NAMED_FAILURES = 20  # the rest is counted


@dataclass(frozen=True, config=STRICT)
class FetchParams:
    """params.yaml, block `fetch`."""

    archive_images: Annotated[int, Field(ge=1, le=10_000)]
    mirror: str | None
    sample: SampleParams


def fetch(name: str) -> None:
    """Bring one source of params.yaml to data/raw/NAME/.

    Raises FacemaskError unless all of it is there; what could be brought is kept, and published.
    """
    settings = params.load("fetch", FetchParams)
    sources = load_sources()
    if name not in sources:
        raise FacemaskError(f"params.yaml names no source '{name}': it has {', '.join(sources)}")
    state = work_folder("fetch", name)
    try:
        lots = _lots(name, sources[name], settings, state)
        _forget_other_lots(state, lots)
        failures = [failure for lot in lots for failure in _bring(name, lot, state, settings.archive_images)]
    except FacemaskError:
        # DVC removes a stage's output before it runs it: what was fetched before is put back.
        if any(state.glob("*.parquet")):
            _publish(state, RAW / name)
        raise
    if any(state.glob("*.parquet")):
        _publish(state, RAW / name)
    elif not failures:
        raise no_images(name, f"{INBOX / name}/")
    if failures:
        raise _told(name, failures)
    shutil.rmtree(state / network.CONTAINERS, ignore_errors=True)
    shutil.rmtree(state / network.IMAGES, ignore_errors=True)


def _lots(
    name: str, source: FfhqSource | FolderSource | NamedSource, settings: FetchParams, state: Path
) -> list[FileBatch]:
    """What the source has, the inbox first: what a person put there need not be fetched."""
    by_hand, mirror = folder_batches(INBOX / name), settings.mirror
    match source.kind:
        case "sample":
            return [sample_batch(source.domain, settings.sample)]
        case "folder":
            lots = network.located_batches(source.path, state) if source.path else by_hand
            if not lots:
                raise no_images(name, source.path or f"{INBOX / name}/")
            return lots
        case "ffhq":
            return [*by_hand, network.ffhq_batch(source, mirror, state)]
        case "portraits":
            return [*by_hand, network.portraits_batch(mirror, state)]
        case "curated":
            return [*by_hand, network.curated_batch(source.domain, mirror, state)]
        case "maskedface":
            here = {lot.name for lot in by_hand}
            return [*by_hand, *(lot for lot in network.maskedface_batches(mirror, state) if lot.name not in here)]


def _bring(name: str, lot: FileBatch, state: Path, archive_images: int) -> list[Failure]:
    """Bring one lot into archives; gives what could not be downloaded."""
    if lot.container:
        if _settled(name, state, lot):
            return []
        if failures := download([lot.container], state / network.CONTAINERS, f"fetch {name}"):
            return failures
    elsewhere = {row["path"] for table in _tables(state) for row in _rows(table) if row["lot"] != lot.name}
    with lot.open() as offered:
        every = list(offered)
        images = [offer for offer in every if is_image_name(offer.path) and offer.path not in elsewhere]
        print(
            f"fetch {name}{lot.name and f', {lot.name}'}: {len(images):,} images, "
            f"{len(every) - len(images):,} other files left alone",
            flush=True,
        )
        kept = _unchanged(state, lot, images)
        new = [offer for offer in images if offer.path not in kept]
        failures = _write_new_archives(name, lot, state, new, archive_images)
    if lot.container:
        _settle(name, state, lot, len(images))
    return failures


def _tables(state: Path) -> list[Path]:
    """The tables of the archives that are whole."""
    return sorted(table for table in state.glob("*.parquet") if table.with_suffix(".zip").exists())


def _rows(table: Path) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = pq.read_table(table, columns=["path", "signature", "lot"]).to_pylist()
    return rows


def _forget_other_lots(state: Path, lots: list[FileBatch]) -> None:
    """Remove half-written archives, and those of lots that the source no longer has."""
    names = {lot.name for lot in lots}
    for archive in state.glob("*.zip"):
        table = archive.with_suffix(".parquet")
        if not table.exists() or pq.read_schema(table) != _STATE_SCHEMA or _rows(table)[0]["lot"] not in names:
            _remove(archive)


def _unchanged(state: Path, lot: FileBatch, images: list[SourceFile]) -> set[str]:
    """Remove the lot's archives of which a file changed or went; return the paths that the others hold."""
    offered = {offer.path: offer for offer in images}
    kept: set[str] = set()
    for table in _tables(state):
        rows = _rows(table)
        if rows[0]["lot"] != lot.name:
            continue
        same = [row["path"] for row in rows if row["signature"] in _signatures(offered.get(row["path"]))]
        if len(same) == len(rows):
            kept.update(same)
            continue
        archive = table.with_suffix(".zip")
        # What was fetched whole is not fetched again: it waits for its new archive where downloads do.
        again = [path for path in same if offered[path].remote]
        for path, content in zip(again, read_members(archive, again), strict=True):
            with replacing(state / network.IMAGES / path) as beside:
                beside.write_bytes(content)
        _remove(archive)
    return kept


def _signatures(offer: SourceFile | None) -> set[str | None]:
    """Those of a row that still holds what is offered."""
    return {offer.signature, offer.broken_signature} if offer else set()


def _remove(archive: Path) -> None:
    archive.with_suffix(".parquet").unlink(missing_ok=True)
    archive.unlink(missing_ok=True)


def _settled(name: str, state: Path, lot: FileBatch) -> bool:
    """Whether all images of a downloaded container are in archives: then the container itself is gone.

    Not if another version of it has landed since.
    """
    note = state / f"{lot.name}.images"
    held = sum(row["lot"] == lot.name for table in _tables(state) for row in _rows(table))
    return note.exists() and note.read_text().split() == [str(held), *_landed(name)]


def _settle(name: str, state: Path, lot: FileBatch, images: int) -> None:
    with replacing(state / f"{lot.name}.images") as beside:
        beside.write_text(" ".join([str(images), *_landed(name)]))
    (state / network.CONTAINERS / lot.name).unlink()


def _landed(name: str) -> list[str]:
    """What was last seen to have changed at the source's own place; empty where nothing was."""
    note = LANDED / f"{name}.source"
    return note.read_text(encoding="utf-8").split() if note.exists() else []


def _write_new_archives(
    name: str, lot: FileBatch, state: Path, new: list[SourceFile], archive_images: int
) -> list[Failure]:
    progress = Progress(f"fetch {name}", len(new))
    numbers = _free_numbers(state)
    failures: list[Failure] = []
    for start in range(0, len(new), archive_images):
        batch = new[start : start + archive_images]
        remotes = [offer.remote for offer in batch if offer.remote]
        of = f"{start // archive_images + 1} of {-(-len(new) // archive_images)}"
        if failed := download(remotes, state / network.IMAGES, f"fetch {name}, archive {of}"):
            failures += failed  # what came of this archive waits for the rest
            if len(failed) < len(remotes):
                continue
            # None came at all: the host refuses or is gone, and asking on would only make that worse.
            rest = [offer.remote for offer in new[start + archive_images :] if offer.remote]
            return failures + [Failure(remote, failed[-1].reason) for remote in rest]
        archive = state / f"{next(numbers):05d}.zip"
        rows: list[dict[str, object]] = []
        write_shard(archive, _contents(batch, archive.name, lot.name, rows, progress))
        # The table says that the archive is whole: it is written after it.
        with replacing(archive.with_suffix(".parquet")) as beside:
            pq.write_table(pa.Table.from_pylist(rows, _STATE_SCHEMA), beside)
        for remote in remotes:
            (state / network.IMAGES / remote.path).unlink()
    return failures


def _free_numbers(state: Path) -> Iterator[int]:
    taken = [int(archive.stem) for archive in state.glob("*.zip")]
    number = max(taken, default=-1)
    while True:
        number += 1
        yield number


def _contents(
    batch: list[SourceFile], archive: str, lot: str, rows: list[dict[str, object]], progress: Progress
) -> Iterator[tuple[str, bytes]]:
    """Read each file once: give its bytes to the archive, and append its row."""
    for offer in batch:
        content = offer.read()
        rows.append(
            {
                "path": offer.path,
                "archive": archive,
                "bytes": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
                "licence": offer.licence,
                "author": offer.author,
                "url": offer.url,
                "subset": offer.subset,
                "signature": offer.signature if content else offer.broken_signature or offer.signature,
                "lot": lot,
            }
        )
        yield offer.path, content
        progress.add(1)


def _publish(state: Path, target: Path) -> None:
    """Put the archives and their joined index in place as one folder."""
    with replacing_folder(target) as made:
        tables = []
        for table in _tables(state):
            archive = table.with_suffix(".zip")
            link_or_copy(archive, made / archive.name)
            tables.append(pq.read_table(table).select(INDEX_SCHEMA.names))
        index = pa.concat_tables(tables).cast(INDEX_SCHEMA).sort_by("path")
        pq.write_table(index, made / "index.parquet", compression="zstd")


def _told(name: str, failures: list[Failure]) -> FacemaskError:
    """Print what failed, and give the error that sums it up."""
    for failure in failures[:_NAMED_FAILURES]:
        print(f"fetch {name}: {failure.remote.path} is missing: {failure.reason}", flush=True)
    if len(failures) > _NAMED_FAILURES:
        print(f"fetch {name}: and {len(failures) - _NAMED_FAILURES:,} more", flush=True)
    first = failures[0]
    return FacemaskError(
        f"{len(failures):,} of source '{name}' missing, first {first.remote.path} ({first.reason}): the same command "
        f"fetches only these; by hand they go to {INBOX / name}/ under the same paths"
    )
