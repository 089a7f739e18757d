import io

import numpy as np
import pytest
from PIL import Image

from pipeline.images import decode, is_image_name

SHADES = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("path", "is_one"),
    [("a/b.PNG", True), ("b.jpeg", True), ("LICENSE.txt", False), ("b", False), (".png", False)],
)
def test_an_image_is_known_by_its_extension(path, is_one):
    assert is_image_name(path) is is_one


def test_a_png_decodes_to_its_very_pixels():
    picture = decode(encoded(Image.fromarray(SHADES)), 32)
    assert (picture.width, picture.height) == (64, 48)
    assert np.array_equal(picture.pixels(), SHADES)


def test_a_large_jpeg_is_decoded_small_and_keeps_its_true_size():
    picture = decode(encoded(Image.new("RGB", (1024, 2048)), "JPEG"), 256)
    assert (picture.width, picture.height) == (1024, 2048)
    assert picture.image.size == (256, 512)


def test_a_rotated_photo_is_turned_upright():
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = decode(encoded(Image.new("RGB", (60, 40)), "JPEG", exif=exif), 32)
    assert (picture.width, picture.height) == picture.image.size == (40, 60)


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
def test_a_broken_file_is_none(content):
    assert decode(content, 32) is None


def test_a_pixel_bomb_is_none_and_not_decoded():
    assert decode(encoded(Image.new("1", (30_000, 30_000))), 32) is None
