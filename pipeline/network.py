"""Sources that come over the network: which files each has, and where each lies."""

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow.parquet as pq

from pipeline import addresses, ffhq
from pipeline.containers import is_container
from pipeline.download import Remote, download
from pipeline.errors import FacemaskError
from pipeline.offers import Lot, Offer, container_lot, folder_lots
from pipeline.sources import Domain, FfhqSource

IMAGES, CONTAINERS = "images", "containers"
"""Folders of a source's half-done work that downloads are brought to, until their archive is whole."""

_PICKED = {"masked": "Masked", "unmasked": "Unmasked"}  # the subfolders of the hand-picked folder


def ffhq_lot(source: FfhqSource, mirror: str | None, state: Path) -> Lot:
    """The images of FFHQ's index with `source.ids`."""
    table = pq.read_table(_ffhq_index(mirror, state), filters=[("id", ">=", source.ids[0]), ("id", "<", source.ids[1])])
    offers = []
    for row in table.sort_by("id").to_pylist():
        file = row[source.images]
        url = f"{mirror}/ffhq/{file['path']}" if mirror else f"drive:{_drive_id(file['url'])}"
        remote = Remote(file["path"], url, file["bytes"], f"md5:{file['md5']}")
        about = {key: row[key] for key in ("licence", "author", "url", "subset")}
        offers.append(_offer(remote, file["md5"], state, **about))
    return _lot("ffhq", offers)


def portraits_lot(mirror: str | None, state: Path) -> Lot:
    """The 200 portraits."""
    remotes, licence = addresses.portraits(mirror)
    return _lot("portraits", [_offer(remote, str(remote.digest), state, licence=licence) for remote in remotes])


def maskedface_lots(mirror: str | None, state: Path) -> list[Lot]:
    """One lot for each of MaskedFace-Net's zips."""
    return [
        container_lot(remote.path, state / CONTAINERS / remote.path, remote) for remote in addresses.maskedface(mirror)
    ]


def curated_lot(domain: Domain, mirror: str | None, state: Path) -> Lot:
    """The images picked by hand: the subfolder of the domain."""
    subfolder = _PICKED[domain]
    if mirror:
        return _listed_lot(f"{mirror}/curated/{subfolder}", state)
    offers = [
        _offer(Remote(path, f"drive:{drive}"), f"drive {drive}", state)
        for path, drive in _drive_listing(addresses.curated_folder())
        if PurePosixPath(path).parts[0] == subfolder
    ]
    return _lot("curated", offers)


def located_lots(location: str, state: Path) -> list[Lot]:
    """The images at a path or an address that fsspec opens: a folder, or a zip or tar."""
    if "://" not in location:
        path = Path(location).expanduser()
        if path.is_file() and is_container(path.name):
            return [container_lot(path.name, path)]
        return folder_lots(path)
    if is_container(location):
        name = PurePosixPath(location).name
        return [container_lot(name, state / CONTAINERS / name, Remote(name, location))]
    return [_listed_lot(location, state)]


def _ffhq_index(mirror: str | None, state: Path) -> Path:
    """The index's table in `state`, made of the index on the first call."""
    remote = addresses.ffhq(mirror)
    table = state / f"index-{str(remote.digest).partition(':')[2]}.pq"
    if not table.exists():
        for failure in download([remote], state, "fetch ffhq, its index"):
            raise FacemaskError(f"FFHQ's index {remote.path} cannot be fetched: {failure.reason}")
        print("fetch ffhq: reading its index", flush=True)
        ffhq.write_table(state / remote.path, table)
        (state / remote.path).unlink()
    return table


def _listed_lot(folder: str, state: Path) -> Lot:
    """Every file below an address that fsspec can list."""
    import fsspec  # here: it is slow to import, and most sources do without

    try:
        system, root = fsspec.url_to_fs(folder)
        found: dict[str, dict[str, Any]] = system.find(root, detail=True)
    except (OSError, ValueError, ImportError) as error:
        raise FacemaskError(f"{folder} cannot be listed ({type(error).__name__}: {error}): is it there?") from error
    offers = []
    for full, about in sorted(found.items()):
        path = PurePosixPath(full).relative_to(root).as_posix()
        version = [about.get(key) for key in ("size", "ETag", "etag", "mtime", "LastModified", "last_modified")]
        signature = " ".join(str(part) for part in version if part is not None)
        size = about.get("size")
        offers.append(_offer(Remote(path, system.unstrip_protocol(full), size), signature, state))
    return _lot(folder, offers)


def _drive_listing(folder: str) -> Iterable[tuple[str, str]]:
    """(path, id) of every file in a shared folder of Google Drive."""
    import gdown

    try:
        listed = gdown.download_folder(id=folder, skip_download=True, quiet=True)
    except Exception as error:  # gdown's own, requests', and whatever Drive's pages lead to
        raise FacemaskError(
            f"Google Drive's folder {folder} cannot be listed ({error}): try again later, or put its images into "
            "data/inbox/ and set `kind: folder`"
        ) from error
    # With skip_download they are never plain names, as the type allows.
    return [(file.path, file.id) for file in listed if not isinstance(file, str)]


def _drive_id(url: str) -> str:
    return url.rpartition("id=")[2]


def _lot(name: str, offers: list[Offer]) -> Lot:
    opened: Callable[[], Any] = lambda: nullcontext(offers)  # noqa: E731
    return Lot(name, opened)


def _offer(remote: Remote, signature: str, state: Path, **about: Any) -> Offer:
    return Offer(remote.path, signature, (state / IMAGES / remote.path).read_bytes, remote=remote, **about)
