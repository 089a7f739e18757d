"""Grids of images."""

import numpy as np

from models.image_grids import image_grid


def shade(value):
    return np.full((4, 6, 3), value, np.uint8)


def test_a_grid_keeps_the_order_of_rows_and_images():
    sheet = image_grid([[shade(1), shade(2), shade(3)], [shade(4), shade(5), shade(6)]])
    assert sheet.shape == (2 * 4 + 2, 3 * 6 + 2 * 2, 3)
    assert sheet[::6, ::8, 0].tolist() == [[1, 2, 3], [4, 5, 6]]


def test_a_grid_has_no_frame():
    sheet = image_grid([[shade(1), shade(2)]])
    assert (sheet[0, 0] == 1).all() and (sheet[-1, -1] == 2).all()


def test_a_grid_of_one_image_is_that_image():
    assert (image_grid([[shade(7)]]) == shade(7)).all()


def test_rows_of_one_image_form_a_column():
    assert image_grid([[shade(1)], [shade(2)]])[:, 0, 0].tolist() == [1] * 4 + [255] * 2 + [2] * 4
