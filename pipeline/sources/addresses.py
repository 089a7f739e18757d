"""The URLs of the public data sets, from addresses.yaml, and those of the same files on a mirror."""

from pathlib import Path

from pydantic.dataclasses import dataclass

from pipeline import params
from pipeline.params import STRICT
from pipeline.sources.download import Remote

ADDRESSES = Path(__file__).with_name("addresses.yaml")
PORTRAITS = Path(__file__).with_name("portraits.sha256")


@dataclass(frozen=True, config=STRICT)
class DriveFile:
    """A file on Google Drive."""

    file: str  # its name, also on a mirror
    drive: str  # file id
    bytes: int | None = None
    md5: str | None = None


def ffhq(mirror: str | None) -> Remote:
    """Return FFHQ's index file."""
    return _remote("ffhq", params.load("ffhq", dict[str, DriveFile], ADDRESSES)["index"], mirror)


def maskedface(mirror: str | None) -> list[Remote]:
    """Return the zips of MaskedFace-Net."""
    return [_remote("maskedface", zipped, mirror) for zipped in params.load("maskedface", list[DriveFile], ADDRESSES)]


def curated_folder() -> str:
    """Return the Google Drive id of the folder with the hand-picked images."""
    return params.load("curated", dict[str, str], ADDRESSES)["drive_folder"]


def portraits(mirror: str | None) -> tuple[list[Remote], str]:
    """Return the portraits, with SHA-256, and their licence."""
    known = params.load("portraits", dict[str, str], ADDRESSES)
    lines = [line.split() for line in PORTRAITS.read_text(encoding="utf-8").splitlines()]
    base = f"{mirror}/portraits" if mirror else known["base"]
    return [Remote(path, f"{base}/{path}", digest=f"sha256:{digest}") for digest, path in lines], known["licence"]


def _remote(kind: str, known: DriveFile, mirror: str | None) -> Remote:
    url = f"{mirror}/{kind}/{known.file}" if mirror else f"drive:{known.drive}"
    return Remote(known.file, url, known.bytes, f"md5:{known.md5}" if known.md5 else None)
