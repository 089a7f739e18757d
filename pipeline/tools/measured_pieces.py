"""The finished part of `facemask curate` on a folder, kept in OUT until its page is written.

    OUT/.measured/KEY.parquet   a table of measured images (manifest.MEASURED_SCHEMA)

After a stop the same command measures only what is missing. A changed image, setting or version gives another key.
"""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.curation.measure_params import MeasureParams
from pipeline.faces.mask_coverage import WEIGHTS
from pipeline.storage.code_digest import closure_digest
from pipeline.storage.files import digest_of, replacing, sha256
from pipeline.storage.manifest import MEASURED_SCHEMA

FOLDER = ".measured"


def measured_or_kept(kept: Path, key: str, measure: Callable[[], pa.Table]) -> tuple[pa.Table, bool]:
    """Return the table kept under `key`, and whether there was one; else what `measure` returns, which is then kept."""
    file = kept / f"{key}.parquet"
    try:
        return pq.read_table(file, schema=MEASURED_SCHEMA), True
    except (OSError, pa.ArrowException):  # none, or a damaged one: it is measured again
        table = measure()
    with replacing(file) as beside:
        pq.write_table(table, beside, compression="zstd")
    return table, False


def piece_key(folder: Path, images: list[str], settings: MeasureParams) -> str:
    """Return a digest of all that the table of some images of `folder` depends on; images by size and time."""
    code = closure_digest("pipeline.curation.measurements")
    columns = MEASURED_SCHEMA.to_string(show_field_metadata=False, show_schema_metadata=False)
    states = [[path, *_state(folder / path)] for path in images]
    numbers = [settings.max_faces, settings.decode_px]
    return digest_of(code, sha256(WEIGHTS), columns, numbers, str(folder.absolute()), states)


def _state(file: Path) -> tuple[int, int]:
    try:
        found = file.stat()
    except OSError:  # a broken link: a row, which is unreadable
        return 0, 0
    return found.st_size, found.st_mtime_ns
