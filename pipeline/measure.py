"""Stage `measure`: raw numbers about every image, no verdicts.

    data/measured/SOURCE/00000.parquet ...   one table for each archive (manifest.MEASURED_SCHEMA)

A measured archive is kept in work/measure/, named by the digest of what it depends on: a grown source costs only its
new archives, and a killed run goes on with the next one.
"""

import atexit
import hashlib
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import Annotated

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field
from pydantic.dataclasses import dataclass as params_dataclass

from pipeline import face as faces
from pipeline import params
from pipeline.archives import read_members
from pipeline.files import digest_of, link_or_copy, read_or_empty, replace_folder, replacing, work_folder
from pipeline.hashes import hashes
from pipeline.images import decode
from pipeline.landmarker import MODEL_SHA256, Detect, Face, open_landmarker
from pipeline.manifest import INDEX_SCHEMA, LANDMARK_SCALE, MEASURED_SCHEMA, read_table
from pipeline.params import STRICT
from pipeline.progress import Progress
from pipeline.workers import Workers

MEASURED = Path("data/measured")
VERSION = 1
"""Counts up when a change of this code changes the numbers: tables of another version are measured again."""

_PIECE = 32  # images in one piece of work: small enough that progress is seen and processes end together


@params_dataclass(frozen=True, config=STRICT)
class MeasureParams:
    """params.yaml, block `measure`."""

    max_faces: Annotated[int, Field(ge=2, le=16)]
    decode_px: Annotated[int, Field(ge=128, le=4096)]


@dataclass(frozen=True)
class Place:
    """Where one image lies."""

    container: Path  # a zip archive or a folder
    path: str  # within it


def measure(name: str) -> None:
    """Measure one fetched source into data/measured/NAME/."""
    settings = params.load("measure", MeasureParams)
    raw, target = Path("data/raw") / name, MEASURED / name
    index = read_table(raw / "index.parquet", INDEX_SCHEMA, f"dvc repro fetch@{name}").to_pandas()
    done = {
        str(archive): work_folder("measure") / f"{_key(settings, rows['path'], rows['sha256'])}.parquet"
        for archive, rows in index.groupby("archive")
    }
    missing = index[~index["archive"].map(lambda archive: done[archive].exists())]
    print(f"measure {name}: {len(index) - len(missing):,} images were measured before", flush=True)

    progress = Progress(f"measure {name}", len(missing))
    with workers(settings) as measuring:
        for archive, rows in missing.groupby("archive"):
            table = measure_files(measuring, raw / str(archive), rows["path"].tolist(), progress)
            with replacing(done[str(archive)]) as beside:
                pq.write_table(_with_archive(table, str(archive)), beside, compression="zstd")

    made = target.with_name(f".{name}.new")
    shutil.rmtree(made, ignore_errors=True)
    for archive, measured in done.items():
        link_or_copy(measured, made / Path(archive).with_suffix(".parquet").name)
    replace_folder(made, target)


def workers(settings: MeasureParams, count: int | None = None) -> "Workers[Place, pa.Table]":
    """`count` processes that measure, by default one for each core."""
    return Workers(partial(measure_places, settings=settings), lost_row, count)


def measure_files(
    measuring: "Workers[Place, pa.Table]", container: Path, paths: list[str], progress: Progress
) -> pa.Table:
    """Measure images of an archive or a folder, in the order of `paths`: MEASURED_SCHEMA, `archive` null."""
    places = [Place(container, path) for path in paths]
    pieces = [places[start : start + _PIECE] for start in range(0, len(places), _PIECE)]
    tables: dict[int, list[pa.Table]] = {}
    for number, parts in measuring.run(pieces):
        tables[number] = parts
        progress.add(len(pieces[number]))
    parts = [table for number in sorted(tables) for table in tables[number]]
    return pa.concat_tables(parts or [MEASURED_SCHEMA.empty_table()])


def measure_places(places: list[Place], settings: MeasureParams) -> pa.Table:
    """What a worker process does with images of one container: read, decode and measure each once."""
    detect = _landmarker(settings.max_faces)
    rows = [
        {"path": place.path, **measure_image(content, detect, settings)}
        for place, content in zip(places, _contents(places), strict=True)
    ]
    return pa.Table.from_pylist(rows, MEASURED_SCHEMA)


def lost_row(place: Place) -> pa.Table:
    """The row of an image that kills whoever reads its pixels: unreadable."""
    content = next(_contents([place]))
    print(f"measure: {place.path} ended the process that measured it; it counts as unreadable", flush=True)
    return pa.Table.from_pylist([{"path": place.path, **_unreadable(content)}], MEASURED_SCHEMA)


def measure_image(content: bytes, detect: Detect, settings: MeasureParams) -> dict[str, object]:
    """All columns of one row but path and archive; an unreadable image has no width and no hash."""
    row = _unreadable(content)
    picture = decode(content, settings.decode_px)
    if picture is None:
        return row
    found_hashes = hashes(picture.image)
    row |= {
        "width": picture.width,
        "height": picture.height,
        "phash": found_hashes.phash,
        "phash_mirrored": found_hashes.phash_mirrored,
        "fine_hash": found_hashes.fine,
        "fine_hash_mirrored": found_hashes.fine_mirrored,
    }
    pixels = picture.pixels()
    found = sorted(detect(pixels), key=faces.area, reverse=True)
    if not found:
        return row
    row["faces"] = 1 + sum(faces.is_another(face, found[0]) for face in found[1:])
    return row | asdict(faces.numbers(pixels, found[0], picture.height)) | {"landmarks": _packed(found[0])}


def _packed(face: Face) -> bytes:
    return (face.points / LANDMARK_SCALE).round().clip(-32768, 32767).astype("<i2").tobytes()


def _unreadable(content: bytes) -> dict[str, object]:
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest(), "faces": 0}


def _contents(places: list[Place]) -> Iterator[bytes]:
    container = places[0].container
    if container.is_dir():
        return (read_or_empty(container, place.path) for place in places)
    return read_members(container, [place.path for place in places])


@cache
def _landmarker(max_faces: int) -> Detect:
    """This process's landmarker, open until the process ends."""
    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(open_landmarker(max_faces))


def _key(settings: MeasureParams, paths: object, digests: object) -> str:
    return digest_of(VERSION, MODEL_SHA256, asdict(settings), list(paths), list(digests))  # type: ignore[call-overload]


def _with_archive(table: pa.Table, archive: str) -> pa.Table:
    column = pa.array([archive] * table.num_rows, pa.string())
    return table.set_column(table.schema.get_field_index("archive"), MEASURED_SCHEMA.field("archive"), column)
