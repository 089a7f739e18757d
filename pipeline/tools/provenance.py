"""Provenance metadata of synthetic pictures: that a picture is synthetic, and what made it.

The XMP has the property DigitalSourceType of IPTC's Photo Metadata Standard (2023.2, schema "Iptc4xmpExt"). A PNG
stores it in an iTXt chunk "XML:com.adobe.xmp" (XMP Specification Part 3, section 1.1.5). Another
text chunk, "facemask", has JSON.
"""

import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from xml.etree import ElementTree

from PIL.PngImagePlugin import PngImageFile, PngInfo

from pipeline.storage.files import open_regular, read_image_file
from pipeline.storage.images import open_image

KEY = "facemask"
XMP_KEY = "XML:com.adobe.xmp"
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
"""Of a photo in which a generator has painted, or in which a lower face is drawn: its statistics are trained."""
DRAWN_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeSynthetic"
"""Of a photo on which masks are drawn, with nothing trained."""
SAMPLE_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
"""Of a picture that a model made from nothing."""
SOURCE_TYPES = (SOURCE_TYPE, DRAWN_SOURCE_TYPE, SAMPLE_SOURCE_TYPE)
SAMPLE = "sample"
_NAMES = {
    "x": "adobe:ns:meta/",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "tiff": "http://ns.adobe.com/tiff/1.0/",
    "facemask": "urn:facemask:provenance/",
}
_HEAD_BYTES = 32 << 20  # of a file are searched: the metadata precedes the pixels
_MAX_XMP_BYTES = 1 << 20  # editors write about 10 kB, with a long history 200 kB
_MAX_XMP_DEPTH = 100  # nested elements; XMP needs 10
_PROPERTY = f"{{{_NAMES['Iptc4xmpExt']}}}DigitalSourceType"
_JSON_PROPERTY = f"{{{_NAMES['facemask']}}}json"  # of clips, which have no text chunks
_ENCODINGS = [(name, "<".encode(name)) for name in ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be")]
_RDF = f"{{{_NAMES['rdf']}}}RDF"
_TOPS = (f"{{{_NAMES['x']}}}xmpmeta", f"{{{_NAMES['x']}}}xapmeta")  # the second: Adobe's first programs
_REPLACED = (
    _PROPERTY,
    _JSON_PROPERTY,
    f"{{{_NAMES['tiff']}}}Orientation",
)  # the photo's own do not hold for the picture, which is upright


@dataclass(frozen=True)
class Provenance:
    """The content of the text chunk."""

    tool: str  # name and version
    checkpoint: str  # first 12 hex digits of the sha256 of its checkpoint.json; "" where it is drawn
    painted: str  # mask or unmask; SAMPLE: a new face, of no photo
    faces: int
    side_by_side: bool
    source_sha256: str  # of the photo's file; "" of a new face
    drawing: str | None = None  # what was drawn and by which renderer; None where a generator painted

    @property
    def source_type(self) -> str:
        """The DigitalSourceType of such a picture."""
        if self.painted == SAMPLE:
            return SAMPLE_SOURCE_TYPE
        return DRAWN_SOURCE_TYPE if self.painted == "mask" and self.drawing is not None else SOURCE_TYPE

    def fits(self, kind: str | None) -> bool:
        """Whether a picture with this mark may state the DigitalSourceType `kind`.

        Earlier versions of this code stated SOURCE_TYPE of drawn masks too.
        """
        return kind == self.source_type or (kind == SOURCE_TYPE and self.painted == "mask")


def png_info(mark: Provenance, xmp: bytes | None) -> PngInfo:
    """Return the chunks for a picture. The XMP of its photo, if any, is kept, and the property is added."""
    info = PngInfo()
    info.add_itxt(XMP_KEY, with_source_type(xmp, kind=mark.source_type))
    info.add_text(KEY, json.dumps(asdict(mark)))
    return info


def with_source_type(xmp: bytes | None, json_text: str | None = None, kind: str = SOURCE_TYPE) -> str:
    """Return an XMP packet with the DigitalSourceType `kind` and everything else in `xmp`, if that can be parsed.

    `json_text`, if given, becomes the property that read_xmp_json returns.
    """
    for prefix, name in _NAMES.items():
        ElementTree.register_namespace(prefix, name)
    top = _parsed(xmp)
    rdf = top.find("rdf:RDF", _NAMES) if top is not None else None
    if top is None or rdf is None:
        top = ElementTree.Element(f"{{{_NAMES['x']}}}xmpmeta")
        rdf = ElementTree.SubElement(top, f"{{{_NAMES['rdf']}}}RDF")
    for description in rdf:
        for name in _REPLACED:
            description.attrib.pop(name, None)
            for element in description.findall(name):
                description.remove(element)
    about = {f"{{{_NAMES['rdf']}}}about": "", _PROPERTY: kind}
    if json_text is not None:
        about[_JSON_PROPERTY] = json_text
    ElementTree.SubElement(rdf, f"{{{_NAMES['rdf']}}}Description", about)
    text = ElementTree.tostring(top, encoding="unicode")
    top.tag = _TOPS[0]
    return f'<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n{text}\n<?xpacket end="w"?>'


def is_xmp(xmp: bytes) -> bool:
    """Return whether an XMP packet can be parsed, and so be kept."""
    return _parsed(xmp) is not None


def source_type(xmp: str | bytes | None) -> str | None:
    """Return the DigitalSourceType in an XMP packet, None if it has none or cannot be parsed."""
    return _property(xmp, _PROPERTY)


def read_xmp_json(xmp: bytes | None) -> str | None:
    """Return the JSON that with_source_type put into an XMP packet, None if there is none."""
    return _property(xmp, _JSON_PROPERTY)


def _property(xmp: str | bytes | None, name: str) -> str | None:
    top = _parsed(xmp.encode() if isinstance(xmp, str) else xmp)
    for description in top.iter(f"{{{_NAMES['rdf']}}}Description") if top is not None else ():
        if value := description.get(name) or description.findtext(name):
            return value
    return None


def read_provenance(path: Path) -> Provenance | None:
    """Read the provenance of a picture, without its pixels; None if it has none, is not a PNG, or cannot be read."""
    try:
        with open_regular(path) as file:
            head = file.read(_HEAD_BYTES)
        # Not Image.open: only PNGs have this metadata, and it is read whatever the size of the picture.
        with PngImageFile(io.BytesIO(head)) as image:
            text, xmp = image.info.get(KEY), image.info.get(XMP_KEY) or image.info.get("xmp")
        if isinstance(text, str):
            mark = Provenance(**json.loads(text))
            return mark if mark.fits(source_type(xmp)) else None
    except (OSError, ValueError, TypeError, SyntaxError, RecursionError):
        pass  # not a PNG (Pillow raises SyntaxError), or another text chunk (json may raise RecursionError)
    return None


def read_source_type(path: Path) -> str | None:
    """Return the DigitalSourceType in the XMP of an image of any format; None if it has none or cannot be read.

    A picture that another program has converted from PNG keeps it, but not the text chunk of read_provenance.
    """
    try:
        with open_image(read_image_file(path)) as image:
            return source_type(image.info.get(XMP_KEY) or image.info.get("xmp"))
    except Exception:  # noqa: BLE001 - on hostile bytes, decoders raise any exception; all mean: unreadable
        return None


def _parsed(xmp: bytes | None) -> ElementTree.Element | None:
    """Return the packet's xmpmeta element; None if it is damaged or no XMP, or above a limit of size or depth."""
    if not xmp or len(xmp) > _MAX_XMP_BYTES:
        return None
    parser = ElementTree.XMLParser(target=_Shallow(), encoding="utf-8")
    try:
        parser.feed(_text(xmp).strip("\0 \r\n\t\ufeff").encode())
        top: ElementTree.Element = parser.close()
    except (ElementTree.ParseError, UnicodeError, _TooDeep):
        return None
    if top.tag == _RDF:  # the element around it is optional (XMP Specification Part 1, section 7.3.3)
        rdf, top = top, ElementTree.Element(_TOPS[0])
        top.append(rdf)
    return top if top.tag in _TOPS else None


def _text(xmp: bytes) -> str:
    """The packet as text: UTF-8, UTF-16 or UTF-32, known by its first character, `<` or a byte order mark."""
    for encoding, first in _ENCODINGS:
        if xmp.startswith((first, "\ufeff".encode(encoding))):
            return xmp.decode(encoding)
    return xmp.decode("utf-8")


class _TooDeep(Exception):
    """The XMP has more than _MAX_XMP_DEPTH nested elements."""


class _Shallow(ElementTree.TreeBuilder):
    """Builds a tree of at most _MAX_XMP_DEPTH levels: Python serializes a tree by recursion."""

    _depth = 0

    def start(self, tag: str, attrs: dict[str, str], /) -> ElementTree.Element:
        """Open an element. Raises _TooDeep below the limit."""
        self._depth += 1
        if self._depth > _MAX_XMP_DEPTH:
            raise _TooDeep
        return super().start(tag, attrs)

    def end(self, tag: str, /) -> ElementTree.Element:
        """Close an element."""
        self._depth -= 1
        return super().end(tag)
