"""Provenance metadata of synthetic pictures, and which metadata is accepted."""

import json
import os
import struct
import zlib
from dataclasses import asdict, replace
from xml.etree import ElementTree

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from pipeline.tools import provenance as marks
from pipeline.tools.provenance import (
    DRAWN_SOURCE_TYPE,
    KEY,
    SAMPLE,
    SAMPLE_SOURCE_TYPE,
    SOURCE_TYPE,
    XMP_KEY,
    Provenance,
    is_xmp,
    png_info,
    read_provenance,
    read_source_type,
    source_type,
    with_source_type,
)
from tests.pipeline.strangers import EPS

MARK = Provenance("facemask 0.1.0", "0123456789ab", "mask", 2, False, "f" * 64)
XMP = b"""<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""
 xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
 dc:format="image/jpeg" Iptc4xmpExt:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"/>
</rdf:RDF></x:xmpmeta><?xpacket end="w"?>"""


def saved(path, info):
    Image.new("RGB", (4, 4)).save(path, "PNG", pnginfo=info)
    return path


def test_provenance_is_read_as_it_was_written(tmp_path):
    assert read_provenance(saved(tmp_path / "a.png", png_info(MARK, None))) == MARK


def test_the_source_type_is_in_the_property_of_the_standard(tmp_path):
    path = saved(tmp_path / "a.png", png_info(MARK, None))
    with Image.open(path) as image:
        packet = ElementTree.fromstring(image.text["XML:com.adobe.xmp"])
    (description,) = packet.iter("{http://www.w3.org/1999/02/22-rdf-syntax-ns#}Description")
    assert description.get("{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType") == SOURCE_TYPE


@pytest.mark.parametrize(
    ("painted", "drawing", "kind"),
    [
        ("mask", "kn95", DRAWN_SOURCE_TYPE),
        ("mask", None, SOURCE_TYPE),
        ("unmask", "likely lower face", SOURCE_TYPE),  # its statistics are trained
        ("unmask", None, SOURCE_TYPE),
        (SAMPLE, None, SAMPLE_SOURCE_TYPE),
    ],
)
def test_the_source_type_says_whether_something_trained_has_painted(tmp_path, painted, drawing, kind):
    path = saved(tmp_path / "a.png", png_info(replace(MARK, painted=painted, drawing=drawing), None))
    assert read_source_type(path) == kind


def test_a_drawing_of_an_earlier_version_which_stated_another_type_is_recognised(tmp_path):
    drawn, info = replace(MARK, drawing="kn95"), PngInfo()
    info.add_itxt(XMP_KEY, with_source_type(None))
    info.add_text(KEY, json.dumps(asdict(drawn)))
    assert read_provenance(saved(tmp_path / "a.png", info)) == drawn


@pytest.mark.parametrize("mark", [MARK, replace(MARK, painted="unmask", drawing="likely lower face")])
def test_a_mark_beside_another_source_type_is_not_recognised(tmp_path, mark):
    info = PngInfo()
    info.add_itxt(XMP_KEY, with_source_type(None, kind=DRAWN_SOURCE_TYPE))
    info.add_text(KEY, json.dumps(asdict(mark)))
    assert read_provenance(saved(tmp_path / "a.png", info)) is None


def test_the_photos_xmp_is_kept_except_its_source_type():
    made = with_source_type(XMP)
    assert "image/jpeg" in made
    assert "digitalCapture" not in made
    assert source_type(made) == SOURCE_TYPE


TEXT = XMP.decode()
OTHER_FORMS = {
    "without xmpmeta": TEXT[TEXT.index("<rdf:RDF") : TEXT.index("</x:xmpmeta>")].encode(),
    "xapmeta": TEXT.replace("xmpmeta", "xapmeta").encode(),
    "UTF-16": TEXT.encode("utf-16"),
    "UTF-16 without a byte order mark": TEXT.encode("utf-16-be"),
    "UTF-32": TEXT.encode("utf-32-le"),
    "UTF-8 with a byte order mark": b"\xef\xbb\xbf" + XMP,
    "padded with zeros": XMP + bytes(9),
}


@pytest.mark.parametrize("form", OTHER_FORMS)
def test_xmp_of_every_form_is_kept(form):
    made = with_source_type(OTHER_FORMS[form])
    assert is_xmp(OTHER_FORMS[form])
    assert "image/jpeg" in made and "digitalCapture" not in made
    assert source_type(made) == SOURCE_TYPE


@pytest.mark.parametrize(
    "form", ['tiff:Orientation="6"/>', "><tiff:Orientation>6</tiff:Orientation></rdf:Description>"]
)
def test_the_orientation_in_xmp_is_dropped_because_the_pixels_are_upright(form):
    xmp = TEXT.replace("/>", f' xmlns:tiff="http://ns.adobe.com/tiff/1.0/" {form}', 1).encode()
    assert is_xmp(xmp)
    made = with_source_type(xmp)
    assert "Orientation" not in made and "image/jpeg" in made


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "TIFF", "PNG"])
def test_the_source_type_is_read_from_every_format(tmp_path, kind):
    xmp, path = with_source_type(None), tmp_path / "a"
    chunk = png_info(MARK, None)
    chunk.chunks = [entry for entry in chunk.chunks if XMP_KEY.encode() in entry[1]]
    options = {"PNG": {"pnginfo": chunk}, "TIFF": {"tiffinfo": {700: xmp.encode()}}}
    Image.new("RGB", (4, 4)).save(path, kind, **options.get(kind, {"xmp": xmp.encode()}))
    assert read_source_type(path) == SOURCE_TYPE
    Image.new("RGB", (4, 4)).save(path, kind)
    assert read_source_type(path) is None


@pytest.mark.parametrize("xmp", [None, b"", b"no xml", b"<a/>", b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>", XMP[:200]])
def test_any_xmp_gives_a_well_formed_packet_with_the_source_type(xmp):
    made = with_source_type(xmp)
    assert ElementTree.fromstring(made).tag.endswith("xmpmeta")
    assert source_type(made) == SOURCE_TYPE


def test_a_picture_with_only_one_of_the_chunks_has_no_provenance(tmp_path):
    info = png_info(MARK, None)
    info.chunks = [chunk for chunk in info.chunks if XMP_KEY.encode() not in chunk[1]]
    assert read_provenance(saved(tmp_path / "a.png", info)) is None
    info = png_info(MARK, None)
    info.chunks = [chunk for chunk in info.chunks if not chunk[1].startswith(KEY.encode())]
    assert read_provenance(saved(tmp_path / "b.png", info)) is None


def test_other_files_have_no_provenance(tmp_path):
    (tmp_path / "a.png").write_text("none")
    assert read_provenance(tmp_path / "a.png") is None
    assert read_provenance(tmp_path / "missing.png") is None


@pytest.mark.parametrize("depth", [20_000, 1_000_000], ids=["deep", "and long"])
def test_deeply_nested_xmp_is_ignored(depth):
    deep = f"<x:xmpmeta xmlns:x='adobe:ns:meta/'>{'<a>' * depth}{'</a>' * depth}</x:xmpmeta>"
    assert source_type(deep) is None
    assert source_type(with_source_type(deep.encode())) == SOURCE_TYPE


def test_long_xmp_is_ignored():
    long = XMP.replace(b"image/jpeg", b"x" * (2 << 20))
    assert source_type(long) is None and source_type(XMP) is not None


def test_a_deeply_nested_text_chunk_is_ignored(tmp_path):
    info = png_info(MARK, None)
    info.chunks = [chunk for chunk in info.chunks if not chunk[1].startswith(KEY.encode())]
    info.add_text(KEY, "[" * 100_000)
    assert read_provenance(saved(tmp_path / "a.png", info)) is None


def png_of(width, height, mark):
    """A PNG header of this size, with provenance and without pixels."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    texts = [
        chunk(b"iTXt", XMP_KEY.encode() + bytes(5) + with_source_type(None).encode()),
        chunk(b"tEXt", KEY.encode() + b"\0" + json.dumps(vars(mark)).encode()),
    ]
    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + b"".join(texts) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def test_provenance_is_read_at_any_size_of_the_picture(tmp_path):
    (tmp_path / "a.png").write_bytes(png_of(20_000, 20_000, MARK))
    assert read_provenance(tmp_path / "a.png") == MARK


def test_only_the_start_of_a_file_is_read(tmp_path, monkeypatch):
    path = saved(tmp_path / "a.png", png_info(MARK, None))
    os.truncate(path, 30_000_000_000)  # sparse
    assert read_provenance(path) == MARK
    monkeypatch.setattr(marks, "_HEAD_BYTES", 50)
    assert read_provenance(path) is None


def test_a_fifo_has_no_provenance(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    assert read_provenance(tmp_path / "a.png") is None


def test_no_program_is_started_for_an_eps_file(tmp_path, fake_ghostscript):
    (tmp_path / "a.jpg").write_bytes(EPS)
    assert read_provenance(tmp_path / "a.jpg") is None
    assert not fake_ghostscript.exists()
