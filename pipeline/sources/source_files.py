"""What a source offers: every file of it, in lots, and how to read each."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pipeline.errors import FacemaskError
from pipeline.sources.config import Domain, files_under
from pipeline.sources.download import Remote
from pipeline.sources.untrusted_archives import is_archive, open_archive
from pipeline.storage.files import read_or_empty
from pipeline.storage.images import is_image_name
from pipeline.synthetic.layout import SampleFile, SampleParams, sample_files


@dataclass(frozen=True)
class SourceFile:
    """One file that a source offers. Equal signatures mean equal content."""

    path: str  # as the source names it, with /
    signature: str
    read: Callable[[], bytes]
    licence: str | None = None
    author: str | None = None
    url: str | None = None
    subset: str | None = None
    remote: Remote | None = None  # to be downloaded before it can be read
    broken_signature: str | None = None  # instead, of one that cannot be read: another try may find it mended


@dataclass(frozen=True)
class FileBatch:
    """Files of a source that come together: no archive holds files of two lots."""

    name: str  # unique in the source
    open: Callable[[], AbstractContextManager[Iterable[SourceFile]]]
    container: Remote | None = None  # a zip or tar to be downloaded before it can be opened


def sample_batch(domain: Domain, sample: SampleParams) -> FileBatch:
    """The embedded sample."""
    signature = f"sample {sample.faces} {sample.image_px} {sample.seed}"

    def offer(file: SampleFile) -> SourceFile:
        return SourceFile(file.path, signature, lambda: file.content, file.licence, file.author, file.url)

    return FileBatch("sample", lambda: nullcontext(map(offer, sample_files(domain, sample))))


def folder_batches(folder: Path) -> list[FileBatch]:
    """The loose files of a folder, and each zip and tar in it. None for a folder that is not there."""
    files = [path for path, _ in files_under(folder)] if folder.is_dir() else []
    containers = [path for path in files if is_archive(path) and (folder / path).is_file()]
    loose = [path for path in files if not is_archive(path)]
    lots = [archive_batch(path, folder / path) for path in containers]
    if any(map(is_image_name, loose)):
        lots.insert(0, FileBatch("", lambda: nullcontext(_loose_offers(folder, loose))))
    return lots


def archive_batch(name: str, path: Path, download: Remote | None = None) -> FileBatch:
    """What a zip or tar at `path` holds."""
    return FileBatch(name, partial(_members, path), download)


def no_images(name: str, where: str) -> FacemaskError:
    return FacemaskError(
        f"source '{name}' has no images in {where}: put its images, or zips of them, there "
        "(docs/data.md says where to get them), then run the same command again"
    )


def _loose_offers(folder: Path, paths: list[str]) -> Iterator[SourceFile]:
    for path in paths:
        stat = (folder / path).lstat()
        yield SourceFile(path, f"{stat.st_size} {stat.st_mtime_ns}", partial(read_or_empty, folder, path))


@contextmanager
def _members(path: Path) -> Iterator[Iterable[SourceFile]]:
    stat = path.stat()
    # A broken member says of itself what the whole one would: only the container around it tells a better copy.
    container = f"broken, in {stat.st_size} {stat.st_mtime_ns}"
    with open_archive(path) as members:
        yield [SourceFile(member.path, member.signature, member.read, broken_signature=container) for member in members]
