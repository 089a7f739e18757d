"""The provenance mark of a clip: an XMP packet in a `uuid` box of an MP4 file.

XMP Specification Part 3 (ISO 16684-1), section on MPEG-4: the box stands at the top level and has the UUID below. The
packet says what that of a picture says (provenance.py); the JSON of a picture's text chunk is one of its properties.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import IO
from uuid import UUID

from pipeline.storage.files import open_regular
from pipeline.tools.provenance import Provenance, read_xmp_json, source_type, with_source_type

XMP_BOX = UUID("be7acfcb-97a9-42e8-9c71-999491e3afac").bytes
_MAX_XMP_BYTES = 1 << 20
_MAX_BOXES = 10_000  # at the top level; a clip has four, one that was recorded in fragments two a second
_HEADER = 8  # bytes: size, type
_LARGE_HEADER = 16  # with the size as 64 bits after the type


def append_mark(clip: Path, mark: Provenance, xmp: bytes | None = None) -> None:
    """Append the mark to an MP4 file; everything else in the XMP of its source, if given, is kept."""
    packet = with_source_type(xmp, json.dumps(asdict(mark)), mark.source_type).encode()
    size = _HEADER + len(XMP_BOX) + len(packet)
    with clip.open("ab") as file:
        file.write(size.to_bytes(4, "big") + b"uuid" + XMP_BOX + packet)


def read_clip_mark(clip: Path) -> Provenance | None:
    """The mark of a clip; None if it has none, is not an MP4 file, or cannot be read."""
    xmp = read_clip_xmp(clip)
    text = read_xmp_json(xmp)
    if text is None:
        return None
    try:
        mark = Provenance(**json.loads(text))
        return mark if mark.fits(source_type(xmp)) else None
    except (ValueError, TypeError, RecursionError):
        return None


def read_clip_xmp(clip: Path) -> bytes | None:
    """The last XMP packet of an MP4 or QuickTime file; None if it has none or cannot be read."""
    found = None
    try:
        with open_regular(clip) as file:
            for start, end in _uuid_boxes(file):
                file.seek(start)
                if end - start <= _MAX_XMP_BYTES and file.read(len(XMP_BOX)) == XMP_BOX:
                    found = file.read(end - start - len(XMP_BOX))
    except OSError:
        return None
    return found


def _uuid_boxes(file: IO[bytes]) -> Iterator[tuple[int, int]]:
    """Yield the start and the end of the content of each `uuid` box at the top level (ISO 14496-12, section 4.2)."""
    length, position = os.fstat(file.fileno()).st_size, 0
    for _ in range(_MAX_BOXES):
        file.seek(position)
        header = file.read(_LARGE_HEADER)
        if len(header) < _HEADER:
            return
        size, kind, content = int.from_bytes(header[:4], "big"), header[4:8], position + _HEADER
        if size == 1:
            size, content = int.from_bytes(header[8:16], "big"), position + _LARGE_HEADER
        elif size == 0:  # to the end of the file
            size = length - position
        end = position + size
        if end < content or end > length:
            return
        if kind == b"uuid":
            yield content, end
        position = end
