"""The photos that the user names, as files or folders, and the output path of each."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import FacemaskError
from pipeline.sources.folders import files_under, holds_file, require_utf8, why_no_file
from pipeline.sources.left_alone import describe_others
from pipeline.storage.files import digest_of, real_path, require_no_file
from pipeline.storage.images import SUFFIXES, is_image_name

_MAX_NAME_BYTES = 255  # of a file name in nearly all file systems


@dataclass(frozen=True)
class Photo:
    """A photo and its output paths."""

    source: Path
    painted: Path  # the result, a PNG
    copied: Path  # the copy of a photo without a face, under its own name


def list_photos(named: list[Path], out: Path) -> list[Photo]:
    """Return all photos of the named files and folders; those of a folder keep their relative paths.

    Raises FacemaskError for a path that does not exist or is not an image, for folders without images, and if two
    photos would be written to one path, or one over a photo.
    """
    require_no_file(out)
    found = list(dict.fromkeys(pair for path in named for pair in _under(path, real_path(out))))
    if not found:
        raise FacemaskError(f"no images ({', '.join(sorted(SUFFIXES))}) in {', '.join(map(str, named))}: name others")
    shared = Counter(inside.with_suffix(".png") for _, inside in found)
    photos = []
    for file, inside in found:
        # a.jpg becomes a.png; if there is another a, a.jpg.png
        name = inside.name if shared[inside.with_suffix(".png")] > 1 and inside.suffix != ".png" else inside.stem
        photos.append(Photo(file, out / inside.with_name(_short(f"{name}.png")), out / inside))
    _refuse_clashes(photos)
    return photos


def has_images(path: Path) -> bool:
    """Whether a path is a file, or a folder with an image in it."""
    return path.is_file() or holds_file(path, is_image_name)


def _under(path: Path, out: Path) -> list[tuple[Path, Path]]:
    """Return the photos of a named file or folder as (file, path relative to the folder)."""
    require_utf8(path)
    if path.is_dir():
        # What an earlier run wrote into a folder of photos is none of them; the folder itself may be `out`.
        real = real_path(path)
        skipped = out if out != real and out.is_relative_to(real) else None
        found = [
            (file, Path(inside))
            for inside, file in files_under(path)
            if not (skipped and real_path(file.parent).is_relative_to(skipped))
        ]
        if others := [str(inside) for _, inside in found if not is_image_name(inside.name)]:
            print(f"{path}: {describe_others(others)}", flush=True)
        return [(file, inside) for file, inside in found if is_image_name(inside.name)]
    if not path.is_file():
        raise FacemaskError(f"{why_no_file(path)}: name photos, or folders of photos")
    if not is_image_name(path.name):
        raise FacemaskError(f"{path} is not an image: name {', '.join(sorted(SUFFIXES))} files, or folders")
    return [(path, Path(path.name))]


def _short(name: str) -> str:
    """The name of a PNG, cut to what a file system takes; a cut name gets a digest of the whole."""
    if len(name.encode()) <= _MAX_NAME_BYTES:
        return name
    end = f"_{digest_of(name)}.png"
    return name.encode()[: _MAX_NAME_BYTES - len(end)].decode(errors="ignore") + end


def _refuse_clashes(photos: list[Photo]) -> None:
    sources = {real_path(photo.source) for photo in photos}
    taken: dict[Path, Path] = {}
    for photo in photos:
        for target in {photo.painted, photo.copied}:
            if real_path(target) in sources:
                raise FacemaskError(f"{target} is one of the photos and would be overwritten: choose another --out")
            if (other := taken.setdefault(target, photo.source)) != photo.source:
                raise FacemaskError(
                    f"{other} and {photo.source} would both be written to {target}: "
                    "run the command for each of their folders, with different --out"
                )
