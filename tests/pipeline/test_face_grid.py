import cv2
import numpy as np

from pipeline.faces.alignment import CROP_SIDE
from pipeline.faces.face_grid import GRID_BYTES, LIGHTNESS_BYTES, decode_grids, face_grid


def filled(red, green, blue):
    """An aligned crop of one colour."""
    return np.full((CROP_SIDE, CROP_SIDE, 3), (red, green, blue), np.uint8)


def test_a_grid_has_the_size_of_its_column_in_the_manifest():
    from pipeline.storage.manifest import MANIFEST_SCHEMA

    assert len(face_grid(filled(1, 2, 3))) == GRID_BYTES == MANIFEST_SCHEMA.field("face_grid").type.byte_width


def test_a_decoded_grid_is_in_cielab_units():
    grid = decode_grids([face_grid(filled(200, 30, 60))])[0]
    lightness, a, b = cv2.cvtColor(np.float32([[[200, 30, 60]]]) / 255, cv2.COLOR_RGB2LAB)[0, 0]
    expected = np.repeat([lightness, a, b], [LIGHTNESS_BYTES, 16, 16])
    assert np.abs(grid - expected).max() < 1.5


def test_lightness_is_stored_row_by_row():
    crop = filled(0, 0, 0)
    crop[:8, -8:] = 255  # upper right
    assert np.flatnonzero(decode_grids([face_grid(crop)])[0, :LIGHTNESS_BYTES]).tolist() == [7]
