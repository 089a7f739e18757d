"""Measures the images of archives and folders in worker processes, or on a Dask cluster."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import pyarrow as pa

from pipeline.curation.measure_params import MeasureParams
from pipeline.curation.measurements import measure_images, unreadable_row
from pipeline.errors import FacemaskError
from pipeline.faces.mask_coverage import WEIGHTS
from pipeline.progress import Progress
from pipeline.storage.code_digest import closure_digest
from pipeline.storage.dask_cluster import dask_cluster
from pipeline.storage.files import digest_of, read_or_empty, sha256
from pipeline.storage.manifest import MEASURED_SCHEMA
from pipeline.storage.shards import read_members
from pipeline.storage.worker_pool import IMAGE_CPU_S, WorkerPool, cpu_limit

PIECE = 32  # images in one task: few, so that progress is visible and the processes end at the same time


@dataclass(frozen=True)
class ImageLocation:
    """Where one image is."""

    container: Path | str  # a zip archive or a folder; a string: an archive at an address that fsspec opens
    path: str  # within it


def measurement_digest(params: MeasureParams) -> str:
    """A digest of all that measurements depend on but the images: code, network, settings and columns."""
    code = closure_digest("pipeline.curation.measurements")
    columns = MEASURED_SCHEMA.to_string(show_field_metadata=False, show_schema_metadata=False)
    settings = {"max_faces": params.max_faces, "decode_px": params.decode_px}  # no number depends on where it runs
    return digest_of(code, sha256(WEIGHTS), columns, settings)


@contextmanager
def open_workers(params: MeasureParams, count: int | None = None) -> Iterator[WorkerPool[ImageLocation, pa.Table]]:
    """A pool of `count` measuring processes, by default one for each core; or the workers of a Dask cluster.

    Raises FacemaskError where no cluster answers at params.address.
    """
    with ExitStack() as stack:
        cluster = None
        if params.executor == "dask":
            if not params.address:
                raise FacemaskError(
                    "measure.executor is dask and measure.address is null: set it in params.yaml, as tcp://HOST:8786"
                )
            cluster = stack.enter_context(dask_cluster(params.address))
        work = partial(measure_locations, params=params)
        yield stack.enter_context(WorkerPool(work, row_of_crash, count, cluster))


def measure_files(
    workers: WorkerPool[ImageLocation, pa.Table], container: Path | str, paths: list[str], progress: Progress
) -> pa.Table:
    """Measure images of an archive or a folder, in the order of `paths`: MEASURED_SCHEMA, `archive` null."""
    if isinstance(container, Path):
        container = container.resolve()  # a cluster's workers run in other folders
    locations = [ImageLocation(container, path) for path in paths]
    pieces = [locations[start : start + PIECE] for start in range(0, len(locations), PIECE)]
    tables: dict[int, list[pa.Table]] = {}
    for number, parts in workers.run(pieces):
        tables[number] = parts
        progress.add(len(pieces[number]))
    parts = [table for number in sorted(tables) for table in tables[number]]
    return pa.concat_tables(parts or [MEASURED_SCHEMA.empty_table()])


def measure_locations(locations: list[ImageLocation], params: MeasureParams) -> pa.Table:
    """A worker's task: measure images of one container. MEASURED_SCHEMA, `archive` null."""
    cv2.setNumThreads(1)  # there is a process for each core
    limit = partial(cpu_limit, IMAGE_CPU_S)
    rows = measure_images(_contents(locations), params.max_faces, params.decode_px, limit)
    named = [{"path": location.path, **row} for location, row in zip(locations, rows, strict=True)]
    return pa.Table.from_pylist(named, MEASURED_SCHEMA)


def row_of_crash(location: ImageLocation) -> pa.Table:
    """The row of an image that crashes the process that measures it: unreadable."""
    content = next(_contents([location]))
    print(f"measure: {location.path} ended the process that measured it; it counts as unreadable", flush=True)
    return pa.Table.from_pylist([{"path": location.path, **unreadable_row(content)}], MEASURED_SCHEMA)


def _contents(locations: list[ImageLocation]) -> Iterator[bytes]:
    container = locations[0].container
    if isinstance(container, Path) and container.is_dir():
        return (read_or_empty(container, location.path) for location in locations)
    return read_members(container, [location.path for location in locations])
