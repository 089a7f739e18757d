"""Photos that a person names, singly or by folder, and where what is made of each is written."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import FacemaskError
from pipeline.sources.config import files_under
from pipeline.storage.images import SUFFIXES, is_image_name


@dataclass(frozen=True)
class Photo:
    """One photo."""

    source: Path
    painted: Path  # a PNG: for what is made of it
    copied: Path  # under its own name: for a copy, where there is nothing to make


def list_photos(named: list[Path], out: Path) -> list[Photo]:
    """All photos of the files and folders that are named; a folder's keep their places in it.

    Raises FacemaskError for a path that is not there or is no image, for folders without one, and where two
    photos would be written to one place, or over a photo.
    """
    found = list(dict.fromkeys(pair for path in named for pair in _under(path, out.resolve())))
    if not found:
        raise FacemaskError(f"no images ({', '.join(sorted(SUFFIXES))}) in {', '.join(map(str, named))}: name some")
    shared = Counter(inside.with_suffix(".png") for _, inside in found)
    photos = []
    for file, inside in found:
        # a.jpg becomes a.png; beside another a, a.jpg.png
        name = inside.name if shared[inside.with_suffix(".png")] > 1 and inside.suffix != ".png" else inside.stem
        photos.append(Photo(file, out / inside.with_name(f"{name}.png"), out / inside))
    _refuse_clashes(photos)
    return photos


def _under(path: Path, out: Path) -> list[tuple[Path, Path]]:
    """Photos as (file, path within what was named)."""
    if path.is_dir():
        return [
            (file, Path(inside))
            for inside, file in files_under(path)
            if is_image_name(inside) and not file.resolve().is_relative_to(out)
        ]
    if not path.is_file():
        raise FacemaskError(f"{path} is not there: name photos, or folders of photos")
    if not is_image_name(path.name):
        raise FacemaskError(f"{path} is no image by its name: name {', '.join(sorted(SUFFIXES))} files, or folders")
    return [(path, Path(path.name))]


def _refuse_clashes(photos: list[Photo]) -> None:
    sources = {photo.source.resolve() for photo in photos}
    taken: dict[Path, Path] = {}
    for photo in photos:
        for target in {photo.painted, photo.copied}:
            if target.resolve() in sources:
                raise FacemaskError(f"{target} is a photo itself and would be written over: choose another --out")
            if (other := taken.setdefault(target, photo.source)) != photo.source:
                raise FacemaskError(
                    f"{other} and {photo.source} would both be written to {target}: "
                    "name their folders one at a time, each with an --out of its own"
                )
