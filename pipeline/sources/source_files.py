"""The files of a source, in batches, and how to read each file."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pipeline.errors import FacemaskError
from pipeline.sources.config import Domain
from pipeline.sources.download import Remote
from pipeline.sources.folders import files_under
from pipeline.sources.untrusted_archives import is_archive, open_archive
from pipeline.storage.files import read_or_empty
from pipeline.synthetic.layout import SampleFile, SampleParams, sample_files


@dataclass(frozen=True)
class SourceFile:
    """A file of a source. Equal signatures mean equal content."""

    path: str  # within the source, with /
    signature: str
    read: Callable[[], bytes]  # b"" for a file that cannot be read
    licence: str | None = None
    author: str | None = None
    url: str | None = None
    subset: str | None = None
    remote: Remote | None = None  # must be downloaded before it can be read


@dataclass(frozen=True)
class FileBatch:
    """Files of a source that are fetched together: no shard holds files of two batches."""

    name: str  # unique in the source
    open: Callable[[], AbstractContextManager[Iterable[SourceFile]]]
    archive: Remote | None = None  # a zip or tar that must be downloaded before the batch can be opened


def sample_batch(domain: Domain, sample: SampleParams) -> FileBatch:
    """Return the embedded sample of one domain."""
    signature = f"sample {sample.faces} {sample.image_px} {sample.seed}"

    def source_file(file: SampleFile) -> SourceFile:
        return SourceFile(file.path, signature, lambda: file.content, file.licence, file.author, file.url)

    return FileBatch("sample", lambda: nullcontext(map(source_file, sample_files(domain, sample))))


def folder_batches(folder: Path) -> list[FileBatch]:
    """Return a batch for the loose files of a folder, and one for each zip and tar in it; none without the folder."""
    files = [path for path, _ in files_under(folder)] if folder.is_dir() else []
    archives = [path for path in files if is_archive(path) and (folder / path).is_file()]
    loose = [path for path in files if not is_archive(path)]
    batches = [archive_batch(path, folder / path) for path in archives]
    if loose:
        batches.insert(0, FileBatch("", lambda: nullcontext(_loose_files(folder, loose))))
    return batches


def local_batches(place: Path) -> list[FileBatch]:
    """Return the batches of a local folder (folder_batches), or the one of a zip or tar."""
    if place.is_file() and is_archive(place.name):
        return [archive_batch(place.name, place)]
    return folder_batches(place)


def archive_batch(name: str, path: Path, download: Remote | None = None) -> FileBatch:
    """Return the members of a zip or tar at `path`, to which `download` is downloaded first."""
    return FileBatch(name, partial(_members, path), download)


def no_images(name: str, where: str) -> FacemaskError:
    """Return the error for a source without images."""
    return FacemaskError(
        f"source '{name}' has no images in {where}: put its images, or zips of them, there "
        "(docs/data.md says where to get them), then run the same command again"
    )


def _loose_files(folder: Path, paths: list[str]) -> Iterator[SourceFile]:
    for path in paths:
        try:
            stat = (folder / path).lstat()
        except FileNotFoundError:  # removed since the folder was listed
            continue
        yield SourceFile(path, f"{stat.st_size} {stat.st_mtime_ns}", partial(read_or_empty, folder, path))


@contextmanager
def _members(path: Path) -> Iterator[Iterable[SourceFile]]:
    with open_archive(path) as members:
        yield [SourceFile(member.path, member.signature, member.read) for member in members]
