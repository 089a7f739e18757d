"""Sources on the network: the files of each source, with their URLs, sizes and digests."""

from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow.parquet as pq

from pipeline.errors import FacemaskError
from pipeline.sources import addresses
from pipeline.sources import ffhq_index as ffhq
from pipeline.sources.config import Domain, FfhqSource
from pipeline.sources.download import Remote, download
from pipeline.sources.source_files import FileBatch, SourceFile, archive_batch, local_batches
from pipeline.sources.untrusted_archives import is_archive

IMAGES, ARCHIVES = "images", "archives"
"""Subfolders of a source's work folder: downloads stay there until their shard is written."""

_CURATED_SUBFOLDERS = {"masked": "Masked", "unmasked": "Unmasked"}


def ffhq_batch(source: FfhqSource, mirror: str | None, state: Path) -> FileBatch:
    """Return the FFHQ images with ids in [source.ids[0], source.ids[1]), with MD5, licence, author, URL and subset.

    Raises FacemaskError if the index cannot be downloaded.
    """
    table = pq.read_table(_ffhq_index(mirror, state), filters=[("id", ">=", source.ids[0]), ("id", "<", source.ids[1])])
    files = []
    for row in table.sort_by("id").to_pylist():
        file = row[source.images]
        url = f"{mirror}/ffhq/{file['path']}" if mirror else f"drive:{_drive_id(file['url'])}"
        remote = Remote(file["path"], url, file["bytes"], f"md5:{file['md5']}")
        about = {key: row[key] for key in ("licence", "author", "url", "subset")}
        files.append(_remote_file(remote, file["md5"], state, **about))
    return _listed("ffhq", files)


def portraits_batch(mirror: str | None, state: Path) -> FileBatch:
    """Return the 200 portraits, with SHA-256 and licence."""
    remotes, licence = addresses.portraits(mirror)
    files = [_remote_file(remote, str(remote.digest), state, licence=licence) for remote in remotes]
    return _listed("portraits", files)


def maskedface_batches(mirror: str | None, state: Path) -> list[FileBatch]:
    """Return one batch for each zip file of MaskedFace-Net."""
    remotes = addresses.maskedface(mirror)
    return [archive_batch(remote.path, state / ARCHIVES / remote.path, remote) for remote in remotes]


def curated_batch(domain: Domain, mirror: str | None, state: Path) -> FileBatch:
    """Return the images that the original study picked by hand: the subfolder of one domain.

    Raises FacemaskError if the folder cannot be listed.
    """
    subfolder = _CURATED_SUBFOLDERS[domain]
    if mirror:
        return _folder_at_url(f"{mirror}/curated/{subfolder}", state)
    files = [
        _remote_file(Remote(path, f"drive:{drive}"), f"drive {drive}", state)
        for path, drive in _drive_listing(addresses.curated_folder())
        if PurePosixPath(path).parts[0] == subfolder
    ]
    return _listed("curated", files)


def located_batches(location: str, state: Path) -> list[FileBatch]:
    """Return the images at `location`, a local path or a URL that fsspec opens: a folder, or a zip or tar file.

    Raises FacemaskError if a remote folder cannot be listed.
    """
    if "://" not in location:
        return local_batches(Path(location).expanduser())
    if is_archive(location):
        name = PurePosixPath(location).name
        return [archive_batch(name, state / ARCHIVES / name, Remote(name, location))]
    return [_folder_at_url(location, state)]


def _ffhq_index(mirror: str | None, state: Path) -> Path:
    """Return the path of FFHQ's index as a Parquet table in `state`; the first call downloads and converts it."""
    remote = addresses.ffhq(mirror)
    table = state / f"index-{str(remote.digest).partition(':')[2]}.pq"
    if not table.exists():
        for failure in download([remote], state, "fetch ffhq, index"):
            raise FacemaskError(f"cannot download FFHQ's index {remote.path}: {failure.reason}")
        print("fetch ffhq: converting the index", flush=True)
        ffhq.write_table(state / remote.path, table)
        (state / remote.path).unlink()
    return table


def _folder_at_url(folder: str, state: Path) -> FileBatch:
    """Return every file below a URL that fsspec lists. Raises FacemaskError if it cannot be listed."""
    import fsspec  # slow to load, and most sources do not need it

    try:
        system, root = fsspec.url_to_fs(folder)
        found: dict[str, dict[str, Any]] = system.find(root, detail=True)
    except (OSError, ValueError, ImportError) as error:
        raise FacemaskError(
            f"cannot list {folder} ({type(error).__name__}: {error}): check the URL and its access rights"
        ) from error
    files = []
    for full, info in sorted(found.items()):
        path = PurePosixPath(full).relative_to(root).as_posix()
        remote = Remote(path, system.unstrip_protocol(full), info.get("size"))
        files.append(_remote_file(remote, version_of(info), state))
    return _listed(folder, files)


def version_of(info: dict[str, Any]) -> str:
    """Return a value that changes when a file does, from what fsspec's `info` or `find` says of it."""
    known = [info.get(key) for key in ("size", "ETag", "etag", "mtime", "LastModified", "last_modified")]
    return " ".join(str(value) for value in known if value is not None)


def _drive_listing(folder: str) -> Iterable[tuple[str, str]]:
    """Return (path, file id) of every file in a shared Google Drive folder.

    Raises FacemaskError if the folder cannot be listed.
    """
    import gdown

    try:
        listed = gdown.download_folder(id=folder, skip_download=True, quiet=True)
    except Exception as error:  # of gdown, of requests, and parse errors, since Drive's pages change without notice
        raise FacemaskError(
            f"cannot list the Google Drive folder {folder} ({error}): try again later, or put its images into "
            "data/inbox/NAME/ and set `kind: folder`"
        ) from error
    # The declared type includes str, but with skip_download gdown returns records only.
    return [(file.path, file.id) for file in listed if not isinstance(file, str)]


def _drive_id(url: str) -> str:
    return url.rpartition("id=")[2]


def _listed(name: str, files: list[SourceFile]) -> FileBatch:
    return FileBatch(name, lambda: nullcontext(files))


def _remote_file(remote: Remote, signature: str, state: Path, **about: Any) -> SourceFile:
    return SourceFile(remote.path, signature, (state / IMAGES / remote.path).read_bytes, remote=remote, **about)
