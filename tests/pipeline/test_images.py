import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from pipeline.storage.image_bytes import count_scans, without_metadata
from pipeline.storage.images import MAX_SCANS, MAX_SIDE, decode, is_image_name, open_image
from tests.pipeline.strangers import EPS

SHADES = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("path", "is_one"),
    [
        ("a/b.PNG", True),
        ("b.jpeg", True),
        ("b.JFIF", True),
        ("b.jpe", True),
        *((f"b.{suffix}", True) for suffix in ("gif", "avif", "jp2", "j2k", "mpo", "ppm", "pgm")),
        *((f"b.{suffix}", False) for suffix in ("heic", "mp4", "eps", "svg", "psd", "cr2")),
        ("LICENSE.txt", False),
        ("b", False),
        (".png", False),
    ],
)
def test_an_image_is_recognized_by_its_extension(path, is_one):
    assert is_image_name(path) is is_one


def test_a_png_is_decoded_exactly():
    picture = decode(encoded(Image.fromarray(SHADES)), 32)
    assert (picture.width, picture.height) == (64, 48)
    assert np.array_equal(picture.pixels(), SHADES)


@pytest.mark.parametrize("kind", ["GIF", "AVIF", "JPEG2000", "PPM", "WEBP", "TIFF", "BMP", "DIB"])
def test_what_pillow_reads_is_read(kind):
    picture = decode(encoded(Image.new("RGB", (64, 48), (200, 10, 10)), kind), 32)
    assert (picture.width, picture.height) == (64, 48)
    assert np.abs(picture.pixels().astype(int) - (200, 10, 10)).max() <= 16


def test_a_damaged_second_frame_leaves_the_first_one_readable():
    frames = [Image.fromarray(SHADES), Image.fromarray(SHADES[::-1])]
    content = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    picture = decode(content[: len(content) * 2 // 3], None)
    assert picture is not None
    assert (picture.width, picture.height) == (64, 48)


def test_a_large_jpeg_is_decoded_at_reduced_size_and_reports_its_full_size():
    picture = decode(encoded(Image.new("RGB", (1024, 2048)), "JPEG"), 256)
    assert (picture.width, picture.height) == (1024, 2048)
    assert picture.image.size == (256, 512)


@pytest.mark.parametrize(
    ("kind", "size", "reduction"), [("PNG", (777, 600), 4), ("JPEG", (777, 600), 4), ("PNG", (140, 200), 1)]
)
def test_a_picture_says_how_much_smaller_than_the_file_it_is(kind, size, reduction):
    picture = decode(encoded(Image.new("RGB", size), kind), 140)
    assert picture.reduction == reduction
    assert picture.image.size == tuple(-(-side // reduction) for side in size)


def test_a_jpeg_that_is_reduced_twice_says_so():
    picture = decode(encoded(Image.new("RGB", (850, 810)), "JPEG"), 50)
    assert picture.reduction == 16  # 8 by the decoder, 2 afterwards


def test_a_rotated_photo_is_turned_upright():
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = decode(encoded(Image.new("RGB", (60, 40)), "JPEG", exif=exif), 32)
    assert (picture.width, picture.height) == picture.image.size == (40, 60)


def palette_with_transparency():
    image = BLUE_ON_TOP.convert("P")
    image.info["transparency"] = image.getpixel((0, 39))
    return image


BLUE_ON_TOP = Image.new("RGB", (60, 40), "yellow")
BLUE_ON_TOP.paste("blue", (0, 0, 60, 10))
FORMS = {
    "RGB": BLUE_ON_TOP,
    "alpha": BLUE_ON_TOP.convert("RGBA"),
    "grey with alpha": BLUE_ON_TOP.convert("LA"),
    "palette": BLUE_ON_TOP.convert("P"),
    "palette with transparency": palette_with_transparency(),
    "16-bit grey": Image.fromarray(np.asarray(BLUE_ON_TOP.convert("L"), np.uint16) * 257),
    "black and white": BLUE_ON_TOP.convert("1", dither=Image.Dither.NONE),
}
DARK_SIDE = {1: "top", 2: "top", 3: "bottom", 4: "bottom", 5: "left", 6: "right", 7: "right", 8: "left"}


def orientation(value):
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


@pytest.mark.parametrize("value", DARK_SIDE)
@pytest.mark.parametrize("form", FORMS)
def test_a_photo_of_every_form_is_turned_upright(form, value):
    picture = decode(encoded(FORMS[form], exif=orientation(value)), None)
    shades = picture.pixels().astype(int).sum(axis=2)
    edges = {"top": shades[0], "bottom": shades[-1], "left": shades[:, 0], "right": shades[:, -1]}
    assert min(edges, key=lambda edge: edges[edge].mean()) == DARK_SIDE[value]
    assert (picture.width, picture.height) == picture.image.size == ((60, 40) if value < 5 else (40, 60))


def exif_entry(kind, value):
    """EXIF with an orientation of another type than SHORT; types by number: 1 BYTE, 2 ASCII, 4 LONG."""
    return b"Exif\0\0II*\0" + struct.pack("<IHHHI4sI", 8, 1, 0x0112, kind, 1 + (kind == 2), value, 0)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    ("exif", "size"),
    [
        (exif_entry(1, b"\6\0\0\0"), (40, 60)),
        (exif_entry(2, b"6\0\0\0"), (40, 60)),
        (exif_entry(4, b"\6\0\0\0"), (40, 60)),
        (exif_entry(3, b"\x09\0\0\0"), (60, 40)),
        (exif_entry(2, b"x\0\0\0"), (60, 40)),
        (exif_entry(3, b"\6\0\0\0")[:20], (60, 40)),
        (b"Exif\0\0junk and more junk", (60, 40)),
    ],
    ids=["BYTE", "ASCII", "LONG", "9", "a letter", "cut off", "junk"],
)
def test_damaged_or_unusual_exif_does_not_make_a_picture_unreadable(kind, exif, size):
    assert decode(encoded(BLUE_ON_TOP, kind, exif=exif), None).image.size == size


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])  # a JPEG's segments are not that long
def test_two_megabytes_of_junk_in_exif_do_not_make_a_picture_unreadable(kind):
    junk = b"Exif\0\0" + bytes(range(256)) * 8000
    assert decode(encoded(BLUE_ON_TOP, kind, exif=junk), None).image.size == (60, 40)


def with_chunk(kind, content):
    """A PNG with one more chunk."""
    png = encoded(BLUE_ON_TOP, exif=orientation(6))
    chunk = struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
    return png[:33] + chunk + png[33:]


def with_segment(marker, content):
    """A JPEG with one more segment."""
    jpeg = encoded(BLUE_ON_TOP, "JPEG", exif=orientation(6))
    return jpeg[:2] + b"\xff" + bytes([marker]) + struct.pack(">H", len(content) + 2) + content + jpeg[2:]


LONG = zlib.compress(bytes(2_000_000))


@pytest.mark.parametrize(
    "content",
    [
        with_chunk(b"zTXt", b"key\0\0" + LONG),
        with_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + LONG),
        with_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + b"x" * 70_000_000),
        with_chunk(b"iCCP", b"key\0\0" + LONG),
        with_chunk(b"iCCP", b""),
        with_chunk(b"pHYs", b"1"),
        with_chunk(b"sRGB", b""),
        with_chunk(b"gAMA", b"1"),
        with_chunk(b"tEXt", b"a\0b")[:44] + b"\0\0\0\0" + with_chunk(b"tEXt", b"a\0b")[48:],
        with_segment(0xE0, b"JFIF\0"),
        with_segment(0xE2, b"ICC_PROFILE\0"),
        with_segment(0xEE, b"Adobe\0"),
    ],
    ids=[
        "text",
        "XMP",
        "long XMP",
        "profile",
        "no profile",
        "pHYs",
        "sRGB",
        "gAMA",
        "checksum",
        "JFIF",
        "ICC",
        "Adobe",
    ],
)
def test_damaged_or_large_metadata_does_not_make_a_picture_unreadable(content):
    assert decode(content, None).image.size == (40, 60)


def test_removing_metadata_keeps_the_pixels():
    for kind, image in [("JPEG", Image.fromarray(SHADES)), ("JPEG", Image.fromarray(SHADES).convert("CMYK"))]:
        content = encoded(image, kind, comment=b"x" * 99)
        bare = without_metadata(content)
        assert len(bare) < len(content)
        assert np.array_equal(decode(bare, None).pixels(), decode(content, None).pixels())
    content = encoded(palette_with_transparency())
    assert np.array_equal(decode(without_metadata(content), None).pixels(), decode(content, None).pixels())


@pytest.mark.parametrize("mode", ["L", "LA", "P", "CMYK", "1", "I;16", "RGBA"])
def test_every_colour_mode_becomes_rgb(mode):
    kind = "TIFF" if mode == "CMYK" else "PNG"
    picture = decode(encoded(Image.new(mode, (32, 32)), kind), 32)
    assert picture.image.mode == "RGB"


def test_sixteen_bit_grey_is_scaled_and_not_clipped():
    grey = Image.fromarray(np.full((32, 32), 32768, np.uint16))
    assert abs(int(decode(encoded(grey), 32).pixels()[0, 0, 0]) - 127) <= 1


WHOLE = encoded(Image.fromarray(SHADES), "JPEG")


@pytest.mark.parametrize(
    "content",
    [b"", b"hello", WHOLE[: len(WHOLE) // 2], encoded(Image.fromarray(SHADES))[:200], b"\x89PNG\r\n\x1a\n" + b"0" * 99],
    ids=["empty", "text", "half a jpeg", "half a png", "a png in name only"],
)
def test_a_damaged_file_is_none(content):
    assert decode(content, 32) is None


def test_a_decompression_bomb_is_none():
    assert decode(encoded(Image.new("1", (30_000, 30_000))), 32) is None


@pytest.mark.parametrize("size", [(1, MAX_SIDE + 1), (MAX_SIDE + 1, 1)])
def test_an_image_above_the_side_limit_is_not_opened(size):
    content = encoded(Image.new("1", size))
    with pytest.raises(ValueError, match="a side of 20,000"):
        open_image(content)
    assert decode(content, 32) is None


def test_an_image_at_the_side_limit_is_decoded():
    assert decode(encoded(Image.new("1", (MAX_SIDE, 1))), 32).width == MAX_SIDE


def tiled_tiff(side):
    """A TIFF of 16 x 16 px in one tile of `side` px."""
    tags = {256: 16, 257: 16, 258: 8, 259: 5, 262: 1, 277: 1, 322: side, 323: side, 324: 8, 325: 64}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<I", 72) + bytes(64) + struct.pack("<H", len(tags)) + entries + bytes(4)


def test_a_tiff_with_a_tile_above_the_limit_is_not_opened():
    with pytest.raises(ValueError, match="32,768 x 32,768 px"):
        open_image(tiled_tiff(32768))
    assert open_image(tiled_tiff(16)).size == (16, 16)


def with_scans(count):
    """A progressive JPEG, its last scan repeated."""
    content = encoded(Image.fromarray(SHADES), "JPEG", progressive=True)
    last = content[content.rindex(b"\xff\xda") : -2]
    return content[:-2] + last * (count - count_scans(content, 1000)) + content[-2:]


def test_scans_are_counted():
    assert count_scans(WHOLE, 1000) == 1
    assert count_scans(encoded(Image.fromarray(SHADES), "JPEG", progressive=True), 1000) == 10


def test_scans_within_metadata_and_after_the_picture_are_not_counted():
    exif = Image.Exif()
    exif[0x010F] = "\xff\xda" * 500
    content = encoded(Image.fromarray(SHADES), "JPEG", exif=exif, comment=b"\xff\xda" * 500)
    assert content.count(b"\xff\xda") > 500
    assert count_scans(content + b"\xff\xda" * 500, 1000) == 1


def test_restart_markers_do_not_end_a_scan():
    content = encoded(Image.fromarray(SHADES), "JPEG", restart_marker_blocks=1)
    assert b"\xff\xd3" in content and count_scans(content, 1000) == 1


def test_a_jpeg_above_the_scan_limit_is_not_opened():
    assert decode(with_scans(MAX_SCANS), 32) is not None
    assert decode(with_scans(MAX_SCANS + 1), 32) is None


def test_a_phones_jpeg_with_a_second_picture_is_opened():
    pair = encoded(Image.fromarray(SHADES), "MPO", save_all=True, append_images=[Image.new("RGB", (64, 48))])
    with open_image(pair) as image:
        assert image.format == "MPO"
    assert decode(pair, 32).width == 64


@pytest.mark.parametrize("kind", ["ICO", "TGA", "PCX", "SGI"])
def test_other_formats_are_not_opened(kind):
    assert decode(encoded(Image.new("RGB", (32, 32)), kind), 32) is None


def test_no_program_is_started_for_an_eps_file(fake_ghostscript):
    assert decode(EPS, 32) is None
    assert not fake_ghostscript.exists()


def test_too_little_memory_does_not_make_an_image_unreadable(monkeypatch):
    def fail(*_):
        raise MemoryError

    monkeypatch.setattr(Image.Image, "convert", fail)
    with pytest.raises(MemoryError):
        decode(WHOLE, 32)
