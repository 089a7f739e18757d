"""FFHQ's index `ffhq-dataset-v2.json` (NVlabs/ffhq-dataset): image URLs, digests, licences and authors.

The index is 250 MB of JSON, one object with 70,000 entries. It is parsed as a stream and stored as a small table.
"""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import ijson
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import FacemaskError
from pipeline.sources.config import FfhqImages
from pipeline.storage.files import replacing

# Image size -> its key in an entry of the index.
_ENTRY: dict[FfhqImages, str] = {"images1024x1024": "image", "thumbnails128x128": "thumbnail"}
_ROWS = 1000  # of a row group
_FILE = pa.struct([("path", pa.string()), ("url", pa.string()), ("bytes", pa.int64()), ("md5", pa.string())])
TABLE = pa.schema(
    [
        ("id", pa.int32()),
        ("subset", pa.string()),  # training or validation
        ("licence", pa.string()),
        ("author", pa.string()),
        ("url", pa.string()),  # of the original photo
        *((size, _FILE) for size in _ENTRY),
    ]
)


def write_table(index: Path, out: Path) -> None:
    """Convert the JSON file `index` to the Parquet file `out`, with schema TABLE.

    Raises FacemaskError if the file is not FFHQ's index.
    """
    with index.open("rb") as stream, replacing(out) as temporary, pq.ParquetWriter(temporary, TABLE) as writer:
        try:
            for rows in _batches(_rows(stream)):
                writer.write_table(pa.Table.from_pylist(rows, TABLE))
        except (ijson.JSONError, KeyError, TypeError, ValueError) as error:
            raise FacemaskError(
                f"{index} is not FFHQ's index ({type(error).__name__}: {error}): delete it and run the same command"
            ) from error


def _rows(stream: BinaryIO) -> Iterator[dict[str, Any]]:
    """Yield one row of TABLE for each entry of the index."""
    for number, entry in ijson.kvitems(stream, "", use_float=True):
        metadata = entry["metadata"]
        yield {
            "id": int(number),
            "subset": entry["category"],
            "licence": metadata["license"],
            "author": metadata["author"],
            "url": metadata["photo_url"],
        } | {size: _file(entry[key]) for size, key in _ENTRY.items()}


def _file(entry: dict[str, Any]) -> dict[str, Any]:
    return {"path": entry["file_path"], "url": entry["file_url"], "bytes": entry["file_size"], "md5": entry["file_md5"]}


def _batches(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Yield the rows in lists of _ROWS."""
    while batch := list(islice(rows, _ROWS)):
        yield batch
