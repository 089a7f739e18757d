"""Which domain the images of a folder are of, as their own names say: those of FFHQ and of MaskedFace-Net.

Folders of several domains side by side become several sources. A folder whose names do not say the domain is left out
and named: a guess would judge unmasked faces as masked ones.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pipeline.errors import FacemaskError
from pipeline.sources.config import Domain
from pipeline.sources.file_names import claimed_placement, ffhq_id
from pipeline.sources.folders import printable

_MIN_CLAIMING = 0.5  # share of a folder's images whose names say the domain: the rest is of the same domain
_THOUSAND = re.compile(r"\d{5}")  # a folder of FFHQ's or MaskedFace-Net's layout

_Images = Mapping[PurePosixPath, list[str]]  # by the folder that they are in, both relative to the whole


@dataclass(frozen=True)
class ImageFolder:
    """Images of one domain."""

    name: str
    folder: Path
    domain: Domain
    images: list[str]  # paths in the folder, with /


def find_sources(folder: Path, images: list[str], domain: Domain | None) -> list[ImageFolder]:
    """Return the sources in `folder`, which has these images: one if `domain` is given, otherwise by the images' names.

    Prints which folders are left out. Raises FacemaskError if no folder's names say its domain.
    """
    name = folder.resolve().name
    if domain is not None:
        return [ImageFolder(name, folder, domain, images)]
    by_folder: dict[PurePosixPath, list[str]] = defaultdict(list)
    for path in images:
        by_folder[PurePosixPath(path).parent].append(path)
    sources, left_out = [], Counter[PurePosixPath]()
    for inner, found, paths in _of_one_domain(PurePosixPath(), by_folder):
        if found is None:
            left_out[inner] += len(paths)
            continue
        within = [PurePosixPath(path).relative_to(inner).as_posix() for path in paths]
        sources.append(ImageFolder("-".join(inner.parts) or name, folder / inner, found, within))
    if not sources:
        raise FacemaskError(
            f"{printable(str(folder))} has neither the layout of FFHQ (00000/00000.png) nor that of MaskedFace-Net "
            "(CMFD, IMFD), or both in one folder: name its domain with --domain masked or --domain unmasked"
        )
    for inner, count in left_out.items():
        print(
            f"curate: {count:,} images in {printable(str(folder / inner))} are left out, since their names do not say "
            "whether they are masked: curate that folder by itself, with --domain masked or --domain unmasked",
            flush=True,
        )
    return _with_unique_names(sources)


def _of_one_domain(unit: PurePosixPath, by_folder: _Images) -> Iterator[tuple[PurePosixPath, Domain | None, list[str]]]:
    """Yield (folder, its domain, its images) for the largest folders of one domain; None where none is known."""
    domains = {_domain_of(paths) for paths in by_folder.values()}
    if len(domains) == 1 and None not in domains:
        yield unit, domains.pop(), [path for paths in by_folder.values() for path in paths]
        return
    inner: dict[PurePosixPath, dict[PurePosixPath, list[str]]] = defaultdict(dict)
    for folder, paths in by_folder.items():
        below = folder.relative_to(unit).parts
        own = not below or (len(below) == 1 and _THOUSAND.fullmatch(below[0]))
        inner[unit if own else unit / below[0]][folder] = paths
    for place, folders in inner.items():
        if place != unit:
            yield from _of_one_domain(place, folders)
            continue
        known = {_domain_of(paths) for paths in folders.values()} - {None}
        for folder, paths in folders.items():
            if len(known) > 1 or _domain_of(paths) is None:
                yield folder, None, paths
        if len(known) == 1:
            (domain,) = known
            yield unit, domain, [path for paths in folders.values() if _domain_of(paths) for path in paths]


def _domain_of(paths: Iterable[str]) -> Domain | None:
    """The domain of the images in one folder; None if few of their names say one, or they say both."""
    claims = Counter(map(_claimed_domain, paths))
    unknown = claims.pop(None, 0)
    if len(claims) != 1:
        return None
    ((domain, count),) = claims.items()
    return domain if count >= _MIN_CLAIMING * (count + unknown) else None


def _claimed_domain(path: str) -> Domain | None:
    if ffhq_id(path) is None:
        return None
    return "unmasked" if claimed_placement(path) == "unmasked" else "masked"


def _with_unique_names(sources: list[ImageFolder]) -> list[ImageFolder]:
    """The sources; where a-b/c and a/b-c would give one name, with a number after it."""
    seen = Counter[str]()
    unique = []
    for source in sources:
        seen[source.name] += 1
        number = f" ({seen[source.name]})" if seen[source.name] > 1 else ""
        unique.append(ImageFolder(source.name + number, source.folder, source.domain, source.images))
    return unique
