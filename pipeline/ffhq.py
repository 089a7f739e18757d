"""FFHQ's index `ffhq-dataset-v2.json` (NVlabs/ffhq-dataset): which images there are, where, and whose.

A quarter of a gigabyte of JSON, one object of 70,000 entries: read as a stream, and kept as a small table.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import ijson
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import FacemaskError
from pipeline.files import replacing
from pipeline.sources import FfhqImages

# Their keys in an entry of the index.
_ENTRY: dict[FfhqImages, str] = {"images1024x1024": "image", "thumbnails128x128": "thumbnail"}
_ROWS = 1000  # at a time
_FILE = pa.struct([("path", pa.string()), ("url", pa.string()), ("bytes", pa.int64()), ("md5", pa.string())])
TABLE = pa.schema(
    [
        ("id", pa.int32()),
        ("subset", pa.string()),  # training or validation
        ("licence", pa.string()),
        ("author", pa.string()),
        ("url", pa.string()),  # of the photo
        *((size, _FILE) for size in _ENTRY),
    ]
)


def write_table(index: Path, out: Path) -> None:
    """The JSON `index` -> the table `out`. Raises FacemaskError for JSON of another shape."""
    with index.open("rb") as stream, replacing(out) as beside, pq.ParquetWriter(beside, TABLE) as writer:
        try:
            for rows in _in_thousands(_rows(stream)):
                writer.write_table(pa.Table.from_pylist(rows, TABLE))
        except (ijson.JSONError, KeyError, TypeError, ValueError) as error:
            raise FacemaskError(
                f"{index} is not FFHQ's index ({type(error).__name__}: {error}): remove it, then run the same command"
            ) from error


def _rows(stream: BinaryIO) -> Iterator[dict[str, Any]]:
    for number, entry in ijson.kvitems(stream, "", use_float=True):
        of = entry["metadata"]
        files = {size: entry[key] for size, key in _ENTRY.items()}
        yield {
            "id": int(number),
            "subset": entry["category"],
            "licence": of["license"],
            "author": of["author"],
            "url": of["photo_url"],
        } | {
            size: {
                "path": file["file_path"],
                "url": file["file_url"],
                "bytes": file["file_size"],
                "md5": file["file_md5"],
            }
            for size, file in files.items()
        }


def _in_thousands(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    held: list[dict[str, Any]] = []
    for row in rows:
        held.append(row)
        if len(held) == _ROWS:
            yield held
            held = []
    if held:
        yield held
