"""The sources that params.yaml names, and what lies in a folder."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from pipeline import params
from pipeline.params import STRICT

Domain = Literal["unmasked", "masked"]
FfhqImages = Literal["images1024x1024", "thumbnails128x128"]


@dataclass(frozen=True, config=STRICT)
class FfhqSource:
    """FFHQ over the network, as its index names it."""

    kind: Literal["ffhq"]
    domain: Domain
    images: FfhqImages
    ids: tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=1)]]  # the first, and the one after the last


@dataclass(frozen=True, config=STRICT)
class FolderSource:
    """What a person puts into data/inbox/NAME/, or what lies at `path`."""

    kind: Literal["folder"]
    domain: Domain
    path: str | None = None  # a folder, zip or tar: on this machine, or at any address that fsspec opens


@dataclass(frozen=True, config=STRICT)
class NamedSource:
    """A data set of which addresses.yaml knows all, or the embedded sample."""

    kind: Literal["maskedface", "curated", "portraits", "sample"]
    domain: Domain


Source = Annotated[FfhqSource | FolderSource | NamedSource, Field(discriminator="kind")]
"""One entry of params.yaml's block `sources`."""


def load_sources() -> dict[str, FfhqSource | FolderSource | NamedSource]:
    """The block `sources` of params.yaml, in its order."""
    return params.load("sources", dict[str, Source])


def files_under(folder: Path) -> Iterator[tuple[str, Path]]:
    """List all files under a folder as (path within it, with /; path on disk), in order.

    Hidden files are left out, and so are FIFOs, sockets and devices; a link to nothing is listed.
    """
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith("."):
                on_disk = Path(parent, name)
                if not _is_special(on_disk):
                    yield on_disk.relative_to(folder).as_posix(), on_disk


def _is_special(path: Path) -> bool:
    """Whether this, or what it links to, is there but is neither a regular file nor a folder."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
