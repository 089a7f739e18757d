"""What a source offers: every file of it, and how to read it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pipeline.errors import FacemaskError
from pipeline.files import read_or_empty
from pipeline.images import is_image_name
from pipeline.sample import SampleFile, SampleParams, sample_files
from pipeline.sources import Domain, Source, files_under

INBOX = Path("data/inbox")


@dataclass(frozen=True)
class Offer:
    """One file that a source offers. Equal signatures mean equal content."""

    path: str  # as the source names it, with /
    signature: str
    read: Callable[[], bytes]
    licence: str | None = None
    author: str | None = None
    url: str | None = None


def offers(name: str, source: Source, sample: SampleParams) -> Iterator[Offer]:
    """Every file of a source, images or not, ordered by path.

    Raises FacemaskError, saying where to put the files, for a source that has none.
    """
    if source.kind == "sample":
        return _sample_offers(source.domain, sample)
    return _folder_offers(name, source.kind)


def _sample_offers(domain: Domain, sample: SampleParams) -> Iterator[Offer]:
    signature = f"sample {sample.faces} {sample.image_px} {sample.seed}"

    def offer(file: SampleFile) -> Offer:
        return Offer(file.path, signature, lambda: file.content, file.licence, file.author, file.url)

    return map(offer, sample_files(domain, sample))


def _folder_offers(name: str, kind: str) -> Iterator[Offer]:
    folder = INBOX / name
    files = list(files_under(folder)) if folder.is_dir() else []
    if not any(is_image_name(path) for path, _ in files):
        what = {
            "ffhq": "FFHQ's images1024x1024 or thumbnails128x128",
            "maskedface": "MaskedFace-Net's folders CMFD and IMFD",
        }.get(kind, "its images")
        raise FacemaskError(
            f"source '{name}' has no images in {folder}/: put {what} there (README.md, 'Real data', says "
            "where they are), then run the same command again"
        )
    for path, on_disk in files:
        stat = on_disk.lstat()
        yield Offer(path, f"{stat.st_size} {stat.st_mtime_ns}", partial(read_or_empty, folder, path))
