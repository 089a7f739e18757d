"""What `facemask apply` keeps of a photo beside its faces: layers, and a word on what the result lacks."""

import numpy as np
import pytest
from PIL import Image

from pipeline.tools.paint_photos import PaintedPhoto, Task, on_layers, paint_photos

INK = (20, 60, 200)
PAINTED = np.s_[10:20, 10:20]


def paint(pixels):
    painted = pixels.copy()
    painted[PAINTED] = INK
    return PaintedPhoto(painted, 1)


def run(tmp_path, side_by_side=False):
    """The picture made of the only photo in the folder."""
    task = Task(paint, lambda: None, "mask", "0" * 12, side_by_side=side_by_side)
    paint_photos([tmp_path / "in"], tmp_path / "out", task)
    (made,) = (tmp_path / "out").iterdir()
    return np.asarray(Image.open(made))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def layered():
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 4), dtype=np.uint8)
    pixels[:5, :, 3] = 0
    return pixels


def test_alpha_is_kept_and_what_is_not_painted_stays_the_same(tmp_path, folder):
    Image.fromarray(layered()).save(folder / "a.png")
    result, changed = run(tmp_path), np.zeros((40, 50), bool)
    changed[PAINTED] = True
    assert np.array_equal(result[~changed], layered()[~changed])


def test_what_is_painted_on_layers_looks_as_it_does_on_white(tmp_path, folder):
    Image.fromarray(layered()).save(folder / "a.png")
    result = Image.fromarray(run(tmp_path))
    on_white = Image.alpha_composite(Image.new("RGBA", result.size, "white"), result)
    difference = np.abs(np.asarray(on_white)[PAINTED][..., :3].astype(int) - INK)
    assert difference.max() <= 1


def test_paint_on_transparent_pixels_is_seen():
    clear, white = np.zeros((2, 2, 4), np.uint8), np.full((2, 2, 3), 255, np.uint8)
    assert (on_layers(clear, white, np.full_like(white, 0))[..., 3] == 255).all()


def test_alpha_is_kept_side_by_side(tmp_path, folder):
    Image.fromarray(layered()).save(folder / "a.png")
    result = run(tmp_path, side_by_side=True)
    assert np.array_equal(result[:, :50], layered())
    assert result.shape == (40, 100, 4)


@pytest.mark.parametrize("mode", ["LA", "P", "RGBA"])
def test_a_turned_photo_with_alpha_is_upright(tmp_path, folder, mode):
    exif = Image.Exif()
    exif[0x0112] = 6
    photo = Image.fromarray(layered())
    photo.convert(mode).save(folder / "a.png", exif=exif, **({"transparency": 0} if mode == "P" else {}))
    assert run(tmp_path).shape == (50, 40, 4)


def test_an_opaque_photo_with_an_alpha_channel_becomes_rgb(tmp_path, folder):
    Image.new("RGBA", (50, 40), (9, 9, 9, 255)).save(folder / "a.png")
    assert run(tmp_path).shape == (40, 50, 3)


FRAMES = [Image.new("RGB", (50, 40), colour) for colour in ("red", "green")]


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png", "a.avif", "a.tif"])
def test_of_an_animation_the_result_is_said_to_be_the_first_frame(tmp_path, folder, capsys, name):
    FRAMES[0].save(folder / name, save_all=True, append_images=FRAMES[1:])
    run(tmp_path)
    assert f"{name}: the result is of the first frame only\n" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.jp2", "a.pgm"])
def test_of_a_photo_with_16_bits_the_result_is_said_to_have_8(tmp_path, folder, capsys, name):
    Image.fromarray(np.full((40, 50), 40_000, np.uint16)).save(folder / name)
    run(tmp_path)
    assert f"{name}: the result has 8 bits a channel, fewer than the photo\n" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png", "a.avif", "a.tif", "a.jpg", "a.jp2", "a.ppm", "a.bmp"])
def test_of_a_still_photo_with_8_bits_nothing_is_said_to_be_lost(tmp_path, folder, capsys, name):
    FRAMES[0].save(folder / name)
    run(tmp_path)
    assert "the result" not in capsys.readouterr().out
