"""What a synthetic picture says of itself: that it is one, and what made it.

In XMP the property DigitalSourceType of IPTC's Photo Metadata Standard (2023.2, schema "Iptc4xmpExt"), kept as PNG
keeps XMP: an iTXt chunk "XML:com.adobe.xmp" (XMP Specification Part 3, section 1.1.5). Beside it lies a text chunk
"facemask" with JSON.
"""

import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from xml.etree import ElementTree

from PIL.PngImagePlugin import PngImageFile, PngInfo

from pipeline.storage.files import open_regular

KEY = "facemask"
XMP_KEY = "XML:com.adobe.xmp"
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
_NAMES = {
    "x": "adobe:ns:meta/",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
}
_HEAD_BYTES = 32 << 20  # of a file, in which a mark is sought: it stands before the pixels
_MAX_XMP_BYTES = 1 << 20  # editors write some 10 kB, with a long history 200
_MAX_XMP_DEPTH = 100  # elements within each other; XMP needs 10
_PROPERTY = f"{{{_NAMES['Iptc4xmpExt']}}}DigitalSourceType"


@dataclass(frozen=True)
class Provenance:
    """The text chunk."""

    tool: str  # name and version
    checkpoint: str  # first 12 hex digits of the sha256 of its checkpoint.json
    painted: str  # mask or unmask
    faces: int
    side_by_side: bool
    source_sha256: str  # of the photo's file


def png_info(mark: Provenance, xmp: bytes | None) -> PngInfo:
    """The chunks for a picture whose photo has, or has not, XMP of its own: that is kept, and the property added."""
    info = PngInfo()
    info.add_itxt(XMP_KEY, with_source_type(xmp))
    info.add_text(KEY, json.dumps(asdict(mark)))
    return info


def with_source_type(xmp: bytes | None) -> str:
    """An XMP packet that says SOURCE_TYPE, and all else that `xmp` said if it can be read."""
    for prefix, name in _NAMES.items():
        ElementTree.register_namespace(prefix, name)
    top = _parsed(xmp)
    rdf = top.find("rdf:RDF", _NAMES) if top is not None else None
    if top is None or rdf is None:
        top = ElementTree.Element(f"{{{_NAMES['x']}}}xmpmeta")
        rdf = ElementTree.SubElement(top, f"{{{_NAMES['rdf']}}}RDF")
    for told in rdf:  # what the photo itself said of this is no longer so
        told.attrib.pop(_PROPERTY, None)
        for element in told.findall(_PROPERTY):
            told.remove(element)
    about = {f"{{{_NAMES['rdf']}}}about": "", _PROPERTY: SOURCE_TYPE}
    ElementTree.SubElement(rdf, f"{{{_NAMES['rdf']}}}Description", about)
    text = ElementTree.tostring(top, encoding="unicode")
    return f'<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n{text}\n<?xpacket end="w"?>'


def source_type(xmp: str | bytes | None) -> str | None:
    """The DigitalSourceType that an XMP packet says, if any."""
    top = _parsed(xmp.encode() if isinstance(xmp, str) else xmp)
    for told in top.iter(f"{{{_NAMES['rdf']}}}Description") if top is not None else ():
        if value := told.get(_PROPERTY) or told.findtext(_PROPERTY):
            return value
    return None


def read_provenance(path: Path) -> Provenance | None:
    """Read the mark of a picture; None where it has none, is no PNG, or cannot be read. No pixel is decoded."""
    try:
        with open_regular(path) as file:
            head = file.read(_HEAD_BYTES)
        # Not Image.open: of its formats only this one can hold a mark, and a mark is read at any size of the picture.
        with PngImageFile(io.BytesIO(head)) as image:
            text, xmp = image.info.get(KEY), image.info.get(XMP_KEY) or image.info.get("xmp")
        if isinstance(text, str) and source_type(xmp) == SOURCE_TYPE:
            return Provenance(**json.loads(text))
    except (OSError, ValueError, TypeError, SyntaxError, RecursionError):
        pass  # no PNG (to Pillow that is a SyntaxError), or other text; json raises a RecursionError
    return None


def _parsed(xmp: bytes | None) -> ElementTree.Element | None:
    """The packet's xmpmeta element; None where it has none, is damaged, or larger or deeper than XMP ever is."""
    if not xmp or len(xmp) > _MAX_XMP_BYTES:
        return None
    parser = ElementTree.XMLParser(target=_Shallow())
    try:
        parser.feed(xmp.strip(b"\0 \r\n\t"))
        top: ElementTree.Element = parser.close()
    except (ElementTree.ParseError, _TooDeep):
        return None
    return top if top.tag == f"{{{_NAMES['x']}}}xmpmeta" else None


class _TooDeep(Exception):
    pass


class _Shallow(ElementTree.TreeBuilder):
    """Builds a tree of _MAX_XMP_DEPTH at most: Python writes one by recursion."""

    _depth = 0

    def start(self, tag: str, attrs: dict[str, str], /) -> ElementTree.Element:
        self._depth += 1
        if self._depth > _MAX_XMP_DEPTH:
            raise _TooDeep
        return super().start(tag, attrs)

    def end(self, tag: str, /) -> ElementTree.Element:
        self._depth -= 1
        return super().end(tag)
