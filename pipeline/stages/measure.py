"""Stage `measure`: raw numbers about every image, no verdicts.

    data/measured/SOURCE/00000.parquet ...   one table for each archive (manifest.MEASURED_SCHEMA)

A measured archive is kept in work/measure/, named by the digest of what it depends on: a grown source costs only its
new archives, and a killed run goes on with the next one.
"""

import hashlib
import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass as params_dataclass

from pipeline import params
from pipeline.curation.hashes import hashes
from pipeline.errors import FacemaskError
from pipeline.faces import metrics as faces
from pipeline.faces.landmarker import MODEL_SHA256, Detect, Face, get_landmarker
from pipeline.faces.mask_coverage import WEIGHTS, eye_coverage_without_landmarks, measure_coverage
from pipeline.params import STRICT
from pipeline.progress import Progress
from pipeline.storage.code_digest import closure_digest
from pipeline.storage.dask_cluster import dask_cluster
from pipeline.storage.files import (
    digest_of,
    link_or_copy,
    read_or_empty,
    replace_folder,
    replacing,
    sha256,
    work_folder,
)
from pipeline.storage.images import Picture, decode
from pipeline.storage.manifest import INDEX_SCHEMA, LANDMARK_SCALE, MEASURED_SCHEMA, read_table
from pipeline.storage.shards import read_members
from pipeline.storage.thumbnails import thumbnail
from pipeline.storage.worker_pool import IMAGE_CPU_S, WorkerPool, cpu_limit

MEASURED = Path("data/measured")

LOW_CONFIDENCE = 0.2  # of a second try at an image in which no face was found
_ROOM, _HIDDEN = 0.25, 0.4  # its padding, as a share of the image, and the cover from which it is believed
_HELD_BYTES = 32 << 20  # of images held between the two passes
PIECE = 32  # images in one piece of work: small enough that progress is seen and processes end together


@params_dataclass(frozen=True, config=STRICT)
class MeasureParams:
    """params.yaml, block `measure`."""

    max_faces: Annotated[int, Field(ge=2, le=16)]
    decode_px: Annotated[int, Field(ge=128, le=4096)]
    executor: Literal["processes", "dask"]
    address: str | None  # of Dask's scheduler
    archives: str | None  # where workers read data/raw, at an address that fsspec opens; None: here


@dataclass(frozen=True)
class ImageLocation:
    """Where one image lies."""

    container: Path | str  # a zip archive or a folder; as a string, an archive at an address that fsspec opens
    path: str  # within it


def measure(name: str) -> None:
    """Measure one fetched source into data/measured/NAME/."""
    settings = params.load("measure", MeasureParams)
    raw, target = Path("data/raw") / name, MEASURED / name
    index = read_table(raw / "index.parquet", INDEX_SCHEMA, f"dvc repro fetch@{name}").to_pandas()
    done = {
        str(archive): work_folder("measure") / f"{_key(settings, rows)}.parquet"
        for archive, rows in index.groupby("archive")
    }
    missing = index[~index["archive"].map(lambda archive: done[archive].exists())]
    print(f"measure {name}: {len(index) - len(missing):,} images were measured before", flush=True)

    progress = Progress(f"measure {name}", len(missing))
    with workers(settings) as measuring:
        for archive, rows in missing.groupby("archive"):
            place = raw / str(archive) if settings.archives is None else f"{settings.archives}/{name}/{archive}"
            table = measure_files(measuring, place, rows["path"].tolist(), progress)
            with replacing(done[str(archive)]) as beside:
                pq.write_table(_with_archive(table, str(archive)), beside, compression="zstd")

    made = target.with_name(f".{name}.new")
    shutil.rmtree(made, ignore_errors=True)
    for archive, measured in done.items():
        link_or_copy(measured, made / Path(archive).with_suffix(".parquet").name)
    replace_folder(made, target)


@contextmanager
def workers(settings: MeasureParams, count: int | None = None) -> Iterator[WorkerPool[ImageLocation, pa.Table]]:
    """`count` processes that measure, by default one for each core; or the workers of a Dask cluster."""
    with ExitStack() as stack:
        cluster = None
        if settings.executor == "dask":
            if not settings.address:
                raise FacemaskError(
                    "measure.executor is dask: params.yaml must say measure.address, as tcp://HOST:8786"
                )
            cluster = stack.enter_context(dask_cluster(settings.address))
        work = partial(measure_places, settings=settings)
        yield stack.enter_context(WorkerPool(work, lost_row, count, cluster))


def measure_files(
    measuring: WorkerPool[ImageLocation, pa.Table], container: Path | str, paths: list[str], progress: Progress
) -> pa.Table:
    """Measure images of an archive or a folder, in the order of `paths`: MEASURED_SCHEMA, `archive` null."""
    if isinstance(container, Path):
        container = container.resolve()  # a cluster's workers have folders of their own
    places = [ImageLocation(container, path) for path in paths]
    pieces = [places[start : start + PIECE] for start in range(0, len(places), PIECE)]
    tables: dict[int, list[pa.Table]] = {}
    for number, parts in measuring.run(pieces):
        tables[number] = parts
        progress.add(len(pieces[number]))
    parts = [table for number in sorted(tables) for table in tables[number]]
    return pa.concat_tables(parts or [MEASURED_SCHEMA.empty_table()])


def measure_places(places: list[ImageLocation], settings: MeasureParams) -> pa.Table:
    """What a worker process does with images of one container: read, decode and measure each once."""
    cv2.setNumThreads(1)  # there is a process for each core
    detect, look_again = get_landmarker(settings.max_faces), get_landmarker(1, LOW_CONFIDENCE)
    measured = measure_images(_contents(places), detect, look_again, settings.decode_px)
    rows = [{"path": place.path, **row} for place, row in zip(places, measured, strict=True)]
    return pa.Table.from_pylist(rows, MEASURED_SCHEMA)


def lost_row(place: ImageLocation) -> pa.Table:
    """The row of an image that kills whoever reads its pixels: unreadable."""
    content = next(_contents([place]))
    print(f"measure: {place.path} ended the process that measured it; it counts as unreadable", flush=True)
    return pa.Table.from_pylist([{"path": place.path, **_unreadable(content)}], MEASURED_SCHEMA)


def measure_images(
    contents: Iterable[bytes], detect: Detect, look_again: Detect, decode_px: int
) -> Iterator[dict[str, object]]:
    """All columns of each image's row but path and archive; an unreadable image has no width and no hash.

    In two passes over some images at a time: what is done right after the landmarker has run takes twice as long
    (docs/curation.md), for it leaves none of the processor's caches as they were.
    """
    held: list[_Held] = []
    for content in contents:
        with cpu_limit(IMAGE_CPU_S):
            picture = decode(content, decode_px)
            found = _find(picture.pixels(), detect, look_again) if picture else []
        held.append(_Held(content, picture, found))
        if sum(one.size for one in held) > _HELD_BYTES:
            yield from _rows(held)
            held = []
    yield from _rows(held)


@dataclass(frozen=True)
class _Held:
    """An image between the passes."""

    content: bytes
    picture: Picture | None
    faces: list[Face]  # the largest first

    @property
    def size(self) -> int:
        """Bytes of memory."""
        return len(self.content) + (3 * self.picture.image.width * self.picture.image.height if self.picture else 0)


def _rows(held: list[_Held]) -> Iterator[dict[str, object]]:
    """The second pass."""
    pictures = [one.picture for one in held if one.picture]
    found_hashes = iter(hashes([picture.image for picture in pictures]))
    seen = [
        faces.DetectedFace(one.picture.pixels(), one.faces[0], one.picture.height)
        for one in held
        if one.picture and one.faces
    ]
    numbers = iter(faces.measure_faces(seen))
    for one in held:
        row = _unreadable(one.content)
        if one.picture:
            row |= {"width": one.picture.width, "height": one.picture.height} | vars(next(found_hashes))
            row["thumb"] = thumbnail(one.picture.image)
            if one.faces:
                row["faces"] = 1 + sum(faces.is_second_face(face, one.faces[0]) for face in one.faces[1:])
                row |= vars(next(numbers)) | {"landmarks": _packed(one.faces[0])}
            else:
                row["cover_eyes"] = eye_coverage_without_landmarks(one.picture.pixels())
        yield row


def _find(pixels: NDArray[np.uint8], detect: Detect, look_again: Detect) -> list[Face]:
    return sorted(detect(pixels), key=faces.area, reverse=True) or second_try(pixels, look_again)


def second_try(pixels: NDArray[np.uint8], look_again: Detect) -> list[Face]:
    """Look again, with LOW_CONFIDENCE and some room around, for a face that its mask hides from the landmarker.

    Believed only where the lower face is under a mask: docs/curation.md has what this finds, wrongly too, and costs.
    """
    height, width = pixels.shape[:2]
    top, left = round(_ROOM * height), round(_ROOM * width)
    padded = cv2.copyMakeBorder(pixels, top, top, left, left, cv2.BORDER_REPLICATE)
    for face in look_again(np.asarray(padded, np.uint8)):
        size = np.array([padded.shape[1], padded.shape[0]], np.float32)
        points = (face.points * size - (left, top)) / (width, height)
        moved = Face(points.astype(np.float32), face.transform)
        if measure_coverage([(pixels, moved.points)])[0].face > _HIDDEN:
            return [moved]
    return []


def _packed(face: Face) -> bytes:
    return (face.points / LANDMARK_SCALE).round().clip(-32768, 32767).astype("<i2").tobytes()


def _unreadable(content: bytes) -> dict[str, object]:
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest(), "faces": 0}


def _contents(places: list[ImageLocation]) -> Iterator[bytes]:
    container = places[0].container
    if isinstance(container, Path) and container.is_dir():
        return (read_or_empty(container, place.path) for place in places)
    return read_members(container, [place.path for place in places])


def _key(settings: MeasureParams, rows: pd.DataFrame) -> str:
    """The name of an archive's table: a digest of all that its numbers depend on, this code included."""
    files = rows[["path", "sha256"]].to_numpy().tolist()
    # Not where it is measured: that changes no number.
    of_numbers = {"max_faces": settings.max_faces, "decode_px": settings.decode_px}
    return digest_of(closure_digest(__name__), MODEL_SHA256, sha256(WEIGHTS), of_numbers, files)


def _with_archive(table: pa.Table, archive: str) -> pa.Table:
    column = pa.array([archive] * table.num_rows, pa.string())
    return table.set_column(table.schema.get_field_index("archive"), MEASURED_SCHEMA.field("archive"), column)
