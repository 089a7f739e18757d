"""Stage `measure`: raw numbers about every image, no verdicts.

    data/measured/SOURCE/00000.parquet ...   one table for each archive (manifest.MEASURED_SCHEMA)

Each table is cached in work/measure/ under the digest of all that it depends on: a grown source measures only its new
archives, and a killed run resumes with the next archive.
"""

from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from pipeline.curation.measure_params import MeasureParams
from pipeline.curation.measuring import measure_files, measurement_digest, open_workers
from pipeline.paths import INDEX, Paths
from pipeline.progress import Progress
from pipeline.storage.files import digest_of, link_or_copy, replacing, replacing_folder
from pipeline.storage.manifest import INDEX_SCHEMA, read_table, with_column


def measure(source: str, params: MeasureParams, paths: Paths) -> None:
    """Measure the fetched source into paths.measured/SOURCE/.

    Raises FacemaskError for a source that is not fetched, a damaged archive, or a Dask cluster that does not answer.
    """
    raw = paths.raw / source
    index = read_table(raw / INDEX, INDEX_SCHEMA, f"dvc repro fetch@{source}").to_pandas()
    cached = {
        str(archive): paths.work("measure") / f"{_cache_key(params, rows)}.parquet"
        for archive, rows in index.groupby("archive")
    }
    missing = index[~index["archive"].map(lambda archive: cached[archive].exists())]
    print(f"measure {source}: {len(index) - len(missing):,} images were measured before", flush=True)

    progress = Progress(f"measure {source}", len(missing))
    with open_workers(params) as workers:
        for archive, rows in missing.groupby("archive"):
            container = raw / str(archive) if params.archives is None else f"{params.archives}/{source}/{archive}"
            table = measure_files(workers, container, rows["path"].tolist(), progress)
            with replacing(cached[str(archive)]) as beside:
                named = with_column(table, "archive", [str(archive)] * table.num_rows)
                pq.write_table(named, beside, compression="zstd")

    with replacing_folder(paths.measured / source) as made:
        for archive, table_file in cached.items():
            link_or_copy(table_file, made / Path(archive).with_suffix(".parquet").name)


def _cache_key(params: MeasureParams, rows: pd.DataFrame) -> str:
    """A digest of all that the table of an archive depends on: what measurements depend on, and the files."""
    return digest_of(measurement_digest(params), rows[["path", "sha256"]].to_numpy().tolist())
