"""params.yaml, block `sources`."""

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from pipeline import params
from pipeline.errors import FacemaskError, choose_from
from pipeline.params import PARAMS_FILE, STRICT

_NAME = re.compile(r"[^\W_][\w-]*")
Domain = Literal["unmasked", "masked"]
FfhqImages = Literal["images1024x1024", "thumbnails128x128"]


@dataclass(frozen=True, config=STRICT)
class FfhqSource:
    """FFHQ over the network, as listed in its index."""

    kind: Literal["ffhq"]
    domain: Domain
    images: FfhqImages
    ids: tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=1)]]  # the first, and the one after the last


@dataclass(frozen=True, config=STRICT)
class FolderSource:
    """The user's files in data/inbox/NAME/, or those at `path`."""

    kind: Literal["folder"]
    domain: Domain
    path: str | None = None  # a folder, zip or tar: a local path, or any URL that fsspec opens
    ffhq_names: bool = False  # whether all files are named after FFHQ's photos, in folders of any name


@dataclass(frozen=True, config=STRICT)
class NamedSource:
    """A data set that addresses.yaml describes, or the embedded sample."""

    kind: Literal["maskedface", "curated", "portraits", "sample"]
    domain: Domain


Source = Annotated[FfhqSource | FolderSource | NamedSource, Field(discriminator="kind")]
"""One entry of the block `sources` of params.yaml."""


def of_ffhq(source: Source) -> bool:
    """Return whether five digits in a file name are the number of an FFHQ photo, wherever the file is."""
    return source.ffhq_names if isinstance(source, FolderSource) else source.kind != "portraits"


def reads_inbox(source: Source) -> bool:
    """Return whether files in data/inbox/NAME/ are images of the source."""
    return not isinstance(source, FolderSource) or source.path is None


def local_path(source: Source) -> Path | None:
    """Return the local folder or archive that a source has as its `path`, if any."""
    if isinstance(source, FolderSource) and source.path and "://" not in source.path:
        return Path(source.path).expanduser()
    return None


def load_sources(params_file: Path = PARAMS_FILE) -> dict[str, Source]:
    """Return the block `sources` of params.yaml, in its order.

    Raises FacemaskError for a block without sources, and for a name that is no name of a DVC stage and of a folder.
    """
    sources = params.load("sources", dict[str, Source], params_file)
    if not sources:
        raise FacemaskError(f"{params_file} names no sources: add one to its block 'sources' (docs/data.md shows some)")
    for name in sources:
        if not _NAME.fullmatch(name):
            raise FacemaskError(
                f"{params_file} has a source {name!r}: rename it, with letters, digits, - and _ only, "
                "the first a letter or digit"
            )
    return sources


def load_source(name: str) -> Source:
    """Return one source of params.yaml. Raises FacemaskError for an unknown name."""
    sources = load_sources()
    if name not in sources:
        raise FacemaskError(f"params.yaml names no source '{name}': {choose_from(name, sources)}")
    return sources[name]
