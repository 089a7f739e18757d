"""Stage `fetch`: a source's images into stored archives of up to a thousand, with an index.

    data/raw/SOURCE/00000.zip ...   the archives; one once written never changes while its files stay as they were
    data/raw/SOURCE/index.parquet   a row for every image (manifest.INDEX_SCHEMA)

Half-done work lies in work/fetch/SOURCE/: the archives written so far, each with its own table beside it.
"""

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field
from pydantic.dataclasses import dataclass

from pipeline import params
from pipeline.archives import write_archive
from pipeline.errors import FacemaskError
from pipeline.files import link_or_copy, replace_folder, replacing, work_folder
from pipeline.images import is_image_name
from pipeline.manifest import INDEX_SCHEMA
from pipeline.offers import Offer, offers
from pipeline.params import STRICT
from pipeline.progress import Progress
from pipeline.sample import SampleParams
from pipeline.sources import load_sources

RAW = Path("data/raw")
_STATE_SCHEMA = INDEX_SCHEMA.append(pa.field("signature", pa.string()))


@dataclass(frozen=True, config=STRICT)
class FetchParams:
    """params.yaml, block `fetch`."""

    archive_images: Annotated[int, Field(ge=1, le=10_000)]
    sample: SampleParams


def fetch(name: str) -> None:
    """Bring one source of params.yaml to data/raw/NAME/."""
    settings = params.load("fetch", FetchParams)
    sources = load_sources()
    if name not in sources:
        raise FacemaskError(f"params.yaml names no source '{name}': it has {', '.join(sources)}")
    state = work_folder("fetch", name)
    try:
        every = list(offers(name, sources[name], settings.sample))
    except FacemaskError:
        # DVC removes a stage's output before it runs it: what was fetched before is put back.
        if any(state.glob("*.parquet")):
            _publish(state, RAW / name)
        raise
    images = [offer for offer in every if is_image_name(offer.path)]
    print(
        f"fetch {name}: {len(images):,} images, {len(every) - len(images):,} other files left alone",
        flush=True,
    )

    kept = _unchanged_archives(state, images)
    _write_new_archives(name, state, images, kept, settings.archive_images)
    _publish(state, RAW / name)


def _unchanged_archives(state: Path, images: list[Offer]) -> dict[str, str]:
    """Remove archives of which a file changed or went; return path -> archive for what the others hold."""
    offered = {offer.path: offer.signature for offer in images}
    kept: dict[str, str] = {}
    for archive in sorted(state.glob("*.zip")):
        table = archive.with_suffix(".parquet")
        rows = pq.read_table(table).to_pylist() if table.exists() else []
        if rows and all(offered.get(row["path"]) == row["signature"] for row in rows):
            kept.update({row["path"]: archive.name for row in rows})
        else:
            table.unlink(missing_ok=True)
            archive.unlink()
    return kept


def _write_new_archives(name: str, state: Path, images: list[Offer], kept: dict[str, str], archive_images: int) -> None:
    new = [offer for offer in images if offer.path not in kept]
    progress = Progress(f"fetch {name}", len(new))
    numbers = _free_numbers(state)
    for start in range(0, len(new), archive_images):
        batch = new[start : start + archive_images]
        archive = state / f"{next(numbers):05d}.zip"
        rows: list[dict[str, object]] = []
        write_archive(archive, _contents(batch, archive.name, rows, progress))
        # The table says that the archive is whole: it is written after it.
        with replacing(archive.with_suffix(".parquet")) as beside:
            pq.write_table(pa.Table.from_pylist(rows, _STATE_SCHEMA), beside)


def _free_numbers(state: Path) -> Iterator[int]:
    taken = [int(archive.stem) for archive in state.glob("*.zip")]
    number = max(taken, default=-1)
    while True:
        number += 1
        yield number


def _contents(
    batch: list[Offer], archive: str, rows: list[dict[str, object]], progress: Progress
) -> Iterator[tuple[str, bytes]]:
    """Read each file once: give its bytes to the archive, and append its row."""
    for offer in batch:
        content = offer.read()
        rows.append(
            {
                "path": offer.path,
                "archive": archive,
                "bytes": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
                "licence": offer.licence,
                "author": offer.author,
                "url": offer.url,
                "signature": offer.signature,
            }
        )
        yield offer.path, content
        progress.add(1)


def _publish(state: Path, target: Path) -> None:
    """Put the archives and their joined index in place as one folder."""
    made = target.with_name(f".{target.name}.new")
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(parents=True)
    tables = []
    for table in sorted(state.glob("*.parquet")):
        archive = table.with_suffix(".zip")
        link_or_copy(archive, made / archive.name)
        tables.append(pq.read_table(table).select(INDEX_SCHEMA.names))
    index = pa.concat_tables(tables).cast(INDEX_SCHEMA).sort_by("path")
    pq.write_table(index, made / "index.parquet", compression="zstd")
    replace_folder(made, target)
