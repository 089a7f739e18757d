"""Fingerprints of the sources, from which the flow `watch` sees new data without fetching it.

It checks the inbox, and each place whose content can change under a fixed URL: a source's `path`, and a mirror of
MaskedFace-Net or of the hand-picked images. FFHQ and the portraits are fixed by their known digests. Google Drive is
not checked, because it limits requests and gives no versions.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import httpx

from pipeline.errors import FacemaskError, one_line
from pipeline.paths import INDEX, Paths
from pipeline.proxies import proxy_of, unusable_variable
from pipeline.sources import network_sources as network
from pipeline.sources.config import Source, local_path, reads_inbox
from pipeline.sources.download.settings import CONNECT_TIMEOUT_S, READ_TIMEOUT_S
from pipeline.sources.folders import file_states
from pipeline.sources.source_files import FileBatch
from pipeline.storage.files import digest_of, replacing

_NOWHERE = Path()  # for downloads: nothing is downloaded here


@dataclass(frozen=True)
class SourceFingerprint:
    """The state of one place of a source. Times are in seconds since 1970."""

    digest: str
    changed_s: float  # when the newest file arrived or changed; the present time if the place does not say
    fetched_s: float  # when the source was last fetched; the present time if the place does not say


def source_fingerprint(name: str, source: Source, mirror: str | None, paths: Paths) -> dict[str, SourceFingerprint]:
    """Return the fingerprint of `inbox` if the source reads it, and of `source` if the place that it is fetched from
    can be checked.

    Raises FacemaskError if that place does not answer.
    """
    index = paths.raw / name / INDEX
    fetched_s = index.stat().st_mtime if index.exists() else 0.0
    found = {"inbox": _of_files(paths.inbox / name, fetched_s)} if reads_inbox(source) else {}
    if (local := local_path(source)) is not None:
        found["source"] = _of_files(local, fetched_s)
    elif batches := _remote_batches(source, mirror):
        now = time.time()
        versions = [version for batch in batches for version in _versions(batch)]
        found["source"] = SourceFingerprint(digest_of(versions), now, now)
    return found


def record_change(name: str, place: str, digest: str, paths: Paths) -> None:
    """Record a change in the source's inbox, so that DVC runs its stage `fetch` again.

    A remote place is no dependency of that stage, but the inbox is. And DVC takes a file that arrived while `fetch`
    ran for fetched.
    """
    with replacing(_record(name, place, paths)) as beside:
        beside.write_text(digest + "\n", encoding="utf-8")


def record_unseen_change(name: str, source: Source, paths: Paths) -> bool:
    """Record the present state of the source's local files that DVC does not see; return whether it is a new one.

    These are the files at a local `path`, and those of an inbox that is a link, which DVC does not follow.
    """
    places = {}
    if (local := local_path(source)) is not None:
        places["source"] = local
    elif (paths.inbox / name).is_symlink():
        places["inbox"] = paths.inbox / name
    changed = False
    for place, folder in places.items():
        digest = _of_files(folder, 0.0).digest
        if digest != recorded_change(name, place, paths):
            record_change(name, place, digest, paths)
            changed = True
    return changed


def recorded_change(name: str, place: str, paths: Paths) -> str:
    """Return the digest that record_change wrote last; empty if none."""
    record = _record(name, place, paths)
    return record.read_text(encoding="utf-8").strip() if record.exists() else ""


def _record(name: str, place: str, paths: Paths) -> Path:
    """The file of record_change; hidden, so that it is no image, and never in a folder that an inbox links to."""
    inbox = paths.inbox / name
    return paths.work("changed") / f"{name}.{place}" if inbox.is_symlink() else inbox / f".changed.{place}"


def _of_files(place: Path, fetched_s: float) -> SourceFingerprint:
    states = file_states(place)
    digest = digest_of([(state.path, state.bytes, state.mtime_ns) for state in states])
    return SourceFingerprint(digest, max((state.ctime_s for state in states), default=0.0), fetched_s)


def _remote_batches(source: Source, mirror: str | None) -> list[FileBatch]:
    match source.kind:
        case "folder" if source.path:
            return network.located_batches(source.path, _NOWHERE)
        case "curated" if mirror:
            return [network.curated_batch(source.domain, mirror, _NOWHERE)]
        case "maskedface" if mirror:
            return network.maskedface_batches(mirror, _NOWHERE)
        case _:
            return []


def _versions(batch: FileBatch) -> Iterable[tuple[str, str]]:
    """Return (path, a value that changes when the file does) of each file, or of the archive that holds them."""
    if batch.archive:
        return [(batch.name, _version(batch.archive.url))]
    with batch.open() as files:
        return [(file.path, file.signature) for file in files]


def _version(url: str) -> str:
    """Return a value that changes when the file at `url` does: its ETag, otherwise its time and size."""
    if url.lower().startswith(("http://", "https://")):
        timeout = httpx.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
        try:
            answer = httpx.head(url, headers={"User-Agent": "facemask"}, follow_redirects=True, timeout=timeout)
            answer.raise_for_status()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _no_answer(url, one_line(error)) from error
        headers = answer.headers
        return headers.get("ETag") or f"{headers.get('Last-Modified')} {headers.get('Content-Length')}"
    import fsspec  # slow to load, and most sources do not need it

    try:
        system, path = fsspec.url_to_fs(url)
        info = system.info(path)
    except (OSError, ValueError, ImportError) as error:
        raise _no_answer(url, f"{type(error).__name__}: {error}") from error
    return network.version_of(info)


def _no_answer(url: str, why: str) -> FacemaskError:
    if variable := unusable_variable():
        return FacemaskError(f"{variable} cannot be used, and {url} does not answer ({why}): set another, or unset it")
    proxy = proxy_of(url)
    through = f"the proxy {proxy} or " if proxy else ""
    return FacemaskError(f"{through}{url} does not answer ({why}): check the URL and its access rights")
