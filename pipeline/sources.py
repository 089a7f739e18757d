"""Sources: where images come from, and the files each offers."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass as params_dataclass

from pipeline import params
from pipeline.errors import FacemaskError
from pipeline.images import is_image_name
from pipeline.params import STRICT
from pipeline.sample import SampleParams, sample_files

Domain = Literal["unmasked", "masked"]
INBOX = Path("data/inbox")


@params_dataclass(frozen=True, config=STRICT)
class Source:
    """One entry of params.yaml's block `sources`."""

    kind: Literal["ffhq", "maskedface", "folder", "sample"]
    domain: Domain


@params_dataclass(frozen=True, config=STRICT)
class FetchParams:
    """params.yaml, block `fetch`."""

    archive_images: Annotated[int, Field(ge=1, le=10_000)]
    sample: SampleParams


@dataclass(frozen=True)
class Offer:
    """One file that a source offers. Equal signatures mean equal content."""

    path: str  # as the source names it, with /
    signature: str
    read: Callable[[], bytes]
    licence: str | None = None
    author: str | None = None
    url: str | None = None


def load_sources() -> dict[str, Source]:
    """The block `sources` of params.yaml, in its order."""
    return params.load("sources", dict[str, Source])


def offers(name: str, source: Source, fetch: FetchParams) -> Iterator[Offer]:
    """Every file of a source, images or not, ordered by path.

    Raises FacemaskError, saying where to put the files, for a source that has none.
    """
    if source.kind == "sample":
        return _sample_offers(source.domain, fetch.sample)
    return _folder_offers(name, source.kind)


def files_under(folder: Path) -> Iterator[tuple[str, Path]]:
    """All files under a folder as (path within it, with /; path on disk), ordered, hidden ones left out."""
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith("."):
                on_disk = Path(parent, name)
                yield on_disk.relative_to(folder).as_posix(), on_disk


def count_non_images(paths: list[str]) -> int:
    return sum(not is_image_name(path) for path in paths)


def _sample_offers(domain: Domain, sample: SampleParams) -> Iterator[Offer]:
    signature = f"sample {sample.faces} {sample.image_px} {sample.seed}"
    for file in sample_files(domain, sample):
        yield Offer(
            file.path, signature, lambda file=file: file.content, file.licence, file.author, file.url  # type: ignore[misc]
        )  # fmt: skip


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
        yield Offer(path, f"{stat.st_size} {stat.st_mtime_ns}", on_disk.read_bytes)
