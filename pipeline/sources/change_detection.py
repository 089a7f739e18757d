"""What a source has at this moment, in a digest: that something landed is seen without fetching anything.

Asked are the inbox, and what may change under an address that stays: a folder or file that `path` names, and a mirror
of MaskedFace-Net or of the images picked by hand. FFHQ and the portraits are fixed by the digests that are known of
them, and Google Drive is not asked: it counts requests, and gives no versions.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import httpx

from pipeline.errors import FacemaskError
from pipeline.sources import network_sources as network
from pipeline.sources.config import FfhqSource, FolderSource, NamedSource, files_under
from pipeline.sources.download.settings import CONNECT_TIMEOUT_S, READ_TIMEOUT_S
from pipeline.sources.source_files import FileBatch
from pipeline.stages.fetch import INBOX, LANDED, RAW
from pipeline.storage.files import digest_of, replacing

_NOWHERE = Path()  # for downloads, of which there are none


@dataclass(frozen=True)
class SourceFingerprint:
    """One look at a place where data comes in."""

    digest: str
    changed_s: float  # when the newest file came or changed, seconds since 1970; now, of a place that does not tell
    fetched_s: float  # when the source was last fetched, as far as is known; now, of a place that does not tell


def source_fingerprint(
    name: str, source: FfhqSource | FolderSource | NamedSource, mirror: str | None
) -> dict[str, SourceFingerprint]:
    """`inbox`, and `source` where the place that it is fetched from can be asked.

    Raises FacemaskError, in one line, where that place does not answer.
    """
    index = RAW / name / "index.parquet"
    fetched_s = index.stat().st_mtime if index.exists() else 0.0
    found = {"inbox": _look_at_files(INBOX / name, fetched_s)}
    if isinstance(source, FolderSource) and source.path and "://" not in source.path:
        found["source"] = _look_at_files(Path(source.path).expanduser(), fetched_s)
    elif lots := _lots_elsewhere(source, mirror):
        now = time.time()
        found["source"] = SourceFingerprint(digest_of([row for lot in lots for row in _signatures(lot)]), now, now)
    return found


def record_change(name: str, place: str, digest: str) -> None:
    """Write what landed where DVC sees it: a listing elsewhere is no input of stage `fetch`, but the inbox is.

    And a file that came while `fetch` ran is one that it did not fetch, though DVC says that it was there.
    """
    with replacing(LANDED / f"{name}.{place}") as beside:
        beside.write_text(digest + "\n")


def _look_at_files(place: Path, fetched_s: float) -> SourceFingerprint:
    rows, newest = [], 0.0
    for path, on_disk in [(place.name, place)] if place.is_file() else files_under(place):
        try:
            stat = on_disk.stat()
        except OSError:  # it has just gone, or is a link to nowhere
            continue
        rows.append((path, stat.st_size, stat.st_mtime_ns))
        # Of the inode: what is copied or unpacked may bring a modification time of another year.
        newest = max(newest, stat.st_ctime)
    return SourceFingerprint(digest_of(rows), newest, fetched_s)


def _lots_elsewhere(source: FfhqSource | FolderSource | NamedSource, mirror: str | None) -> list[FileBatch]:
    match source.kind:
        case "folder" if source.path:
            return network.located_batches(source.path, _NOWHERE)
        case "curated" if mirror:
            return [network.curated_batch(source.domain, mirror, _NOWHERE)]
        case "maskedface" if mirror:
            return network.maskedface_batches(mirror, _NOWHERE)
        case _:
            return []


def _signatures(lot: FileBatch) -> Iterable[tuple[str, str]]:
    """(path, what changes when the file does) of each file, or of the container that they come in."""
    if lot.container:
        return [(lot.name, _version(lot.container.url))]
    with lot.open() as offers:
        return [(offer.path, offer.signature) for offer in offers]


def _version(url: str) -> str:
    """What changes when the file at `url` does: its ETag, or else its time and size."""
    if url.lower().startswith(("http://", "https://")):
        timeout = httpx.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
        try:
            answer = httpx.head(url, headers={"User-Agent": "facemask"}, follow_redirects=True, timeout=timeout)
            answer.raise_for_status()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise FacemaskError(f"{url} cannot be asked ({' '.join(str(error).split())}): is it there?") from error
        told = answer.headers
        return told.get("ETag") or f"{told.get('Last-Modified')} {told.get('Content-Length')}"
    import fsspec  # here: it is slow to import, and most sources do without

    try:
        system, path = fsspec.url_to_fs(url)
        about = system.info(path)
    except (OSError, ValueError, ImportError) as error:
        raise FacemaskError(f"{url} cannot be asked ({type(error).__name__}: {error}): is it there?") from error
    return " ".join(str(about.get(key)) for key in ("size", "ETag", "etag", "mtime", "LastModified", "last_modified"))
