import numpy as np
import pytest
from PIL import Image, ImageDraw

from pipeline.curation.borders import photo_box
from tests.pipeline.test_hashes import shades


def grey(side=120):
    return np.asarray(shades(0).convert("L").resize((side, side)))


@pytest.mark.parametrize("level", [0, 255])
def test_a_plain_border_is_not_part_of_the_photo(level):
    framed = np.pad(grey(), ((10, 20), (5, 15)), constant_values=level)
    assert photo_box(framed) == (5, 10, 125, 130)


def test_a_caption_with_letters_is_not_part_of_the_photo():
    captioned = Image.fromarray(np.pad(grey(240), ((0, 30), (0, 0)), constant_values=255))
    ImageDraw.Draw(captioned).text((10, 250), "wear a mask", fill=0)
    assert photo_box(np.asarray(captioned)) == (0, 0, 240, 240)


def test_a_photo_without_a_border_is_whole():
    assert photo_box(grey()) == (0, 0, 120, 120)


def test_a_plain_background_that_fades_into_the_subject_is_part_of_the_photo():
    rows, columns = np.mgrid[:120, :120]
    head = np.where(np.hypot(rows - 80, columns - 60) < 60, 90, 255).astype(np.uint8)
    assert photo_box(head)[1] == 0


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (2, 2)])
def test_tiny_images_are_whole(shape):
    assert photo_box(np.full(shape, 7, np.uint8)) == (0, 0, shape[1], shape[0])
