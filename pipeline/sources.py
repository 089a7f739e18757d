"""The sources that params.yaml names, and what lies in a folder."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic.dataclasses import dataclass

from pipeline import params
from pipeline.params import STRICT

Domain = Literal["unmasked", "masked"]


@dataclass(frozen=True, config=STRICT)
class Source:
    """One entry of params.yaml's block `sources`."""

    kind: Literal["ffhq", "maskedface", "folder", "sample"]
    domain: Domain


def load_sources() -> dict[str, Source]:
    """The block `sources` of params.yaml, in its order."""
    return params.load("sources", dict[str, Source])


def files_under(folder: Path) -> Iterator[tuple[str, Path]]:
    """All files under a folder as (path within it, with /; path on disk), ordered; hidden ones are left out."""
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith("."):
                on_disk = Path(parent, name)
                yield on_disk.relative_to(folder).as_posix(), on_disk
