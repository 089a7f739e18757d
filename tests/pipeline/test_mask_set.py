"""The masks of a data set, as a file: what is written is read, and what is no such file is refused."""

import numpy as np
import pytest

from pipeline.errors import FacemaskError
from pipeline.masks import mask_set
from pipeline.masks.compositing import compose
from pipeline.masks.mask_set import LiftedMask, worn_fit
from pipeline.masks.records import MaskDesign, UnmaskedFace
from tests.models.conftest import FACE


def a_mask(colour, width=416, side=0.95):
    """A mask of one colour within a transparent border."""
    drawing = np.zeros((round(width * 288 / 416), width, 4), np.float32)
    drawing[..., :3] = colour
    drawing[8:-8, 8:-8, 3] = 1
    return LiftedMask(MaskDesign(drawing, "loops", np.array((200, 210, 220), np.float32)), worn_fit(0.8, side), 140)


@pytest.fixture
def path(tmp_path):
    return tmp_path / mask_set.NAME


def test_a_mask_is_read_as_it_was_written(path):
    written = a_mask((10, 120, 250))
    mask_set.write_masks(path, [written])
    (read,) = mask_set.read_masks(path)
    assert np.array_equal(read.design.drawing, written.design.drawing)
    assert read.design.strap_colour.tolist() == [200, 210, 220]
    assert (read.fit.top, read.fit.right) == pytest.approx((0.8, 0.95)) and read.width_px == 140


def test_drawings_of_all_sizes_are_written(path):
    mask_set.write_masks(path, [a_mask((10, 120, 250), width) for width in (208, 550)])
    assert [mask.design.drawing.shape for mask in mask_set.read_masks(path)] == [(288, 416, 4)] * 2


def test_a_set_can_be_empty(path):
    mask_set.write_masks(path, [])
    assert mask_set.read_masks(path) == []


@pytest.mark.parametrize("content", ["nothing", "text", "other array", "too many", "not finite", "pickle"])
def test_another_file_is_refused_in_one_line(path, content):
    match content:
        case "text":
            path.write_text("masks")
        case "other array":
            np.save(path, np.zeros((2, 288, 416, 4), np.uint8))
        case "too many":
            np.save(path, np.zeros(mask_set.MOST + 1, mask_set.RECORD))
        case "not finite":
            record = np.zeros(1, mask_set.RECORD)
            record["top"] = np.nan
            np.save(path, record)
        case "pickle":
            np.save(path, np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(FacemaskError, match=r"masks\.npy [^\n]*dvc repro"):
        mask_set.read_masks(path)


def test_a_small_face_gets_a_drawing_of_its_size_and_a_large_one_the_whole(path):
    mask = a_mask((10, 120, 250))
    assert [mask_set.at_width(mask, width).design.drawing.shape[1] for width in (50, 300, 2000)] == [208, 300, 416]


def test_one_of_the_masks_is_drawn_and_the_generator_says_which(path):
    grey = np.full((128, 128, 3), 128, np.uint8)
    masks = [a_mask((250, 20, 20)), a_mask((20, 20, 250))]
    drawn = [
        compose(grey, mask_set.draw_one_of(UnmaskedFace(grey, FACE), np.random.default_rng(seed), masks))[95, 64]
        for seed in range(20)
    ]
    red = [bool(pixel[0] > pixel[2]) for pixel in drawn]
    again = mask_set.draw_one_of(UnmaskedFace(grey, FACE), np.random.default_rng(3), masks)
    assert any(red) and not all(red) and (compose(grey, again)[95, 64] == drawn[3]).all()
