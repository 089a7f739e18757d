"""The bytes of PNG and JPEG files, read without Pillow: what their pixels need, and what decoding them would cost."""

import re
from collections.abc import Iterator

_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_WITHOUT_LENGTH = (0x01, 0xD8)  # JPEG markers without a segment
_EXIF, _ADOBE = 0xE1, 0xEE  # JPEG's segments APP1, which XMP uses too, and APP14
_METADATA_MARKERS = frozenset({*range(0xE0, 0xF0), 0xFE})  # JPEG's segments APP0 to APP15 and COM
_ADOBE_BYTES = 12  # of the segment that says how a JPEG's colours are coded
_PNG_START = b"\x89PNG\r\n\x1a\n"
_MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])")  # excluded: FF 00 (a coded byte FF) and D0 to D7 (restarts)


def without_metadata(content: bytes) -> bytes | None:
    """Return a PNG or JPEG without what is not needed for its pixels, but with its EXIF; None for another format."""
    if content.startswith(_PNG_START):
        return _PNG_START + b"".join(_needed_chunks(content))
    if content.startswith(b"\xff\xd8\xff"):
        return b"\xff\xd8" + b"".join(_needed_segments(content))
    return None


def _needed_chunks(content: bytes) -> Iterator[bytes]:
    """Yield the PNG chunks that pixels need (upper case in the PNG specification, 5.4), transparency and EXIF."""
    at = len(_PNG_START)
    while at + 8 <= len(content):
        kind, end = content[at + 4 : at + 8], at + 12 + int.from_bytes(content[at : at + 4], "big")
        if kind[:1].isupper() or kind in (b"tRNS", b"eXIf"):
            yield content[at:end]
        at = end


def _needed_segments(content: bytes) -> Iterator[bytes]:
    """Yield the JPEG segments that pixels need, the colours' coding (Adobe, if whole) and EXIF, then all scans."""
    at = 2
    while content[at : at + 1] == b"\xff" and (marker := content[at + 1 : at + 2]):
        if marker[0] == _START_OF_SCAN:
            break
        if marker == b"\xff":  # a fill byte
            at += 1
            continue
        end = at + 2 + int.from_bytes(content[at + 2 : at + 4], "big")
        name, length = content[at + 4 : at + 10], end - at - 4
        is_exif = marker[0] == _EXIF and name == b"Exif\0\0"
        is_coding = marker[0] == _ADOBE and name.startswith(b"Adobe") and length >= _ADOBE_BYTES
        if marker[0] not in _METADATA_MARKERS or is_exif or is_coding:
            yield content[at:end]
        at = end
    yield content[at:]


def count_scans(content: bytes, most: int) -> int:
    """Return the number of scans of a JPEG file's first picture, counted up to `most`."""
    scans, at = 0, 0
    while scans < most and (found := _MARKER.search(content, at)):
        marker, at = found[1][0], found.end()
        if marker == _END_OF_IMAGE:
            break
        if marker not in _WITHOUT_LENGTH:
            at += int.from_bytes(content[at : at + 2], "big")  # skip the segment: it may hold a thumbnail
        scans += marker == _START_OF_SCAN
    return scans


def png_depth(content: bytes) -> int:
    """Return the bits a channel, as a PNG's header says (PNG specification, 11.2.1); 0 for another format."""
    return content[24] if content.startswith(_PNG_START) and content[12:16] == b"IHDR" else 0
