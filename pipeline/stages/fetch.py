"""Stage `fetch`: copy a source's images to shards of up to a thousand, with an index.

    data/raw/SOURCE/00000.zip ...   the shards; a shard does not change while its files are unchanged
    data/raw/SOURCE/index.parquet   a row for every image (manifest.INDEX_SCHEMA)

Half-done work is in work/fetch/SOURCE/ (pipeline/sources/shard_store.py).
"""

import shutil
from contextlib import suppress
from pathlib import Path

from pipeline.errors import FacemaskError
from pipeline.paths import Paths
from pipeline.sources import network_sources as network
from pipeline.sources.change_detection import recorded_change
from pipeline.sources.config import FolderSource, Source
from pipeline.sources.download import Failure
from pipeline.sources.fetch_params import FetchParams
from pipeline.sources.folders import FileState, file_states
from pipeline.sources.inbox import unused_inbox
from pipeline.sources.shard_store import ShardStore, add_batch, publish, remove_other_batches
from pipeline.sources.source_files import FileBatch, folder_batches, no_images, sample_batch
from pipeline.storage.files import locked

_MAX_PASSES = 5  # over the source's local files, while new ones keep arriving
_NAMED_FAILURES = 20  # the rest is counted


def fetch(name: str, source: Source, settings: FetchParams, paths: Paths) -> None:
    """Copy the images of the source `name` to data/raw/NAME/.

    Raises FacemaskError if an image is missing; the others are kept and published.
    """
    work = paths.work("fetch", name)
    if unused := unused_inbox(name, source, paths):
        print(f"fetch {name}: {unused}", flush=True)
    store = ShardStore(name, work, settings.archive_images, recorded_change(name, "source", paths))
    target = paths.raw / name
    with locked(work.with_name(f".{name}.lock"), f"another process is fetching '{name}': wait until it ends"):
        try:
            failures = _add_all(store, source, settings, paths)
        except (FacemaskError, OSError):
            # DVC removes a stage's output before it runs the stage: restore what was fetched before.
            with suppress(OSError):  # a full disk, perhaps: the first error is the one to report
                publish(store, target)
            raise
        if not publish(store, target) and not failures:
            raise no_images(name, f"{paths.inbox / name}/")
        if failures:
            raise _missing(failures, name, paths.inbox / name)
        for downloads in (network.ARCHIVES, network.IMAGES):
            shutil.rmtree(work / downloads, ignore_errors=True)


def _add_all(store: ShardStore, source: Source, settings: FetchParams, paths: Paths) -> list[Failure]:
    """Add every batch of the source; again, if files arrived meanwhile: DVC takes them for fetched."""
    failures: list[Failure] = []
    for _ in range(_MAX_PASSES):
        before = _local_files(store.source, source, paths)
        batches = _batches(store, source, settings, paths)
        remove_other_batches(store, batches)
        names = [batch.name for batch in batches]
        added = (add_batch(store, batch, names[:place]) for place, batch in enumerate(batches))
        failures = [failure for failed in added for failure in failed]
        if failures or _local_files(store.source, source, paths) == before:
            return failures
        print(f"fetch {store.source}: files arrived meanwhile: they are fetched too", flush=True)
    print(f"fetch {store.source}: files keep arriving: run the same command again when they are complete", flush=True)
    return failures


def _batches(store: ShardStore, source: Source, settings: FetchParams, paths: Paths) -> list[FileBatch]:
    """Return the batches of the source. Of files with equal paths the first one keeps its path.

    Loose images of the inbox are before those of the network: what the user provides is not downloaded. Archives of
    the network are before the inbox: they are deleted once they are in shards, and so cannot give way later.
    """
    inbox, mirror = folder_batches(paths.inbox / store.source), settings.mirror
    match source.kind:
        case "sample":
            return [*inbox, sample_batch(source.domain, settings.sample)]
        case "folder":
            batches = network.located_batches(source.path, store.folder) if source.path else inbox
            if not batches:
                raise no_images(store.source, source.path or f"{paths.inbox / store.source}/")
            return batches
        case "ffhq":
            return [*inbox, network.ffhq_batch(source, mirror, store.folder)]
        case "portraits":
            return [*inbox, network.portraits_batch(mirror, store.folder)]
        case "curated":
            return [*inbox, network.curated_batch(source.domain, mirror, store.folder)]
        case "maskedface":
            provided = {batch.name for batch in inbox}
            remote = network.maskedface_batches(mirror, store.folder)
            return [*(batch for batch in remote if batch.name not in provided), *inbox]


def _local_files(name: str, source: Source, paths: Paths) -> list[FileState]:
    """Return the state of the files that the user provides."""
    if isinstance(source, FolderSource) and source.path:
        return file_states(Path(source.path).expanduser())  # nothing, for a URL
    return file_states(paths.inbox / name)


def _missing(failures: list[Failure], name: str, inbox: Path) -> FacemaskError:
    """Print what could not be downloaded, and return the error that sums it up."""
    for failure in failures[:_NAMED_FAILURES]:
        print(f"fetch {name}: {failure.remote.path} is missing: {failure.reason}", flush=True)
    if len(failures) > _NAMED_FAILURES:
        print(f"fetch {name}: and {len(failures) - _NAMED_FAILURES:,} more", flush=True)
    first = failures[0]
    return FacemaskError(
        f"{len(failures):,} of source '{name}' missing, first {first.remote.path} ({first.reason}): the same command "
        f"fetches only these; you can also put them into {inbox}/ under the same paths"
    )
