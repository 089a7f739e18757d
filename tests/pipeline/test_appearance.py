"""The skin's tone and the mask's colour of aligned crops with known colours."""

import cv2
import numpy as np
import pytest

from pipeline.faces.alignment import CROP_SIDE, AlignedFace, align
from pipeline.faces.appearance import Appearance
from pipeline.faces.appearance import appearance as appearance_of
from pipeline.faces.landmarker import get_landmarker

MASK_FROM = 40  # row of the crop: the mask covers what is below
NO_MASK = np.zeros((CROP_SIDE // 2, CROP_SIDE // 2), np.float32)


@pytest.fixture(scope="module")
def points(portraits):
    pixels = np.asarray(portraits[0])
    return align(pixels, get_landmarker(1)(pixels)[0].points).points


def appearance(crop, mask, points) -> Appearance:
    """Of an image that is an aligned crop already."""
    return appearance_of(crop, AlignedFace(crop, points, np.eye(2, 3)), mask)


def colour(lightness, a, b):
    """A CIELAB colour as RGB, uint8."""
    return cv2.cvtColor(np.float32([[[lightness, a, b]]]), cv2.COLOR_LAB2RGB)[0, 0] * 255


def filled(lightness, a, b):
    """An aligned crop of one colour."""
    return np.full((CROP_SIDE, CROP_SIDE, 3), np.rint(colour(lightness, a, b)), np.uint8)


def mask_below(row):
    """A mask map that covers the crop from `row` on."""
    mask = NO_MASK.copy()
    mask[row // 2 :] = 1
    return mask


@pytest.mark.parametrize(("lightness", "b", "angle"), [(70, 20, 45.0), (60, 20, 26.6), (50, 15, 0.0), (35, 15, -45.0)])
def test_skin_tone_is_the_individual_typology_angle_in_degrees(points, lightness, b, angle):
    assert appearance(filled(lightness, 10, b), NO_MASK, points).skin_tone == pytest.approx(angle, abs=1.5)


def test_pixels_under_a_mask_are_no_skin(points):
    crop, row = filled(60, 10, 20), round(float(points[230, 1]) * CROP_SIDE) // 2 * 2  # below the eye
    bare = appearance(crop, NO_MASK, points).skin_tone
    crop[row:] = 255
    assert appearance(crop, mask_below(row - 2), points).skin_tone == pytest.approx(bare, abs=0.1)
    assert appearance(crop, NO_MASK, points).skin_tone > bare + 20


def test_a_shadow_on_a_third_of_the_skin_does_not_change_its_tone(points):
    crop = filled(60, 10, 20)
    bare = appearance(crop, NO_MASK, points).skin_tone
    crop[::3] = colour(20, 5, 10)
    assert appearance(crop, NO_MASK, points).skin_tone == pytest.approx(bare, abs=0.1)


def test_a_covered_face_has_no_skin_tone(points):
    assert appearance(filled(60, 10, 20), mask_below(0), points).skin_tone is None


@pytest.mark.parametrize("lightness", [30, 70])
def test_skin_in_blue_light_stays_between_minus_90_and_90_degrees(points, lightness):
    tone = appearance(filled(lightness, 5, -20), NO_MASK, points).skin_tone
    assert tone == pytest.approx(np.sign(lightness - 50) * 87, abs=1.5)


def test_a_mask_s_colour_is_the_mean_of_its_pixels_in_cielab(points):
    crop = filled(60, 10, 20)
    crop[MASK_FROM:] = np.rint(colour(80, -5, -15))
    found = appearance(crop, mask_below(MASK_FROM), points)
    assert (found.mask_lightness, found.mask_a, found.mask_b) == pytest.approx((80, -5, -15), abs=0.6)


def test_without_a_mask_there_is_no_colour_of_it(points):
    found = appearance(filled(60, 10, 20), NO_MASK, points)
    assert (found.mask_lightness, found.mask_a, found.mask_b) == (None, None, None)


def with_line(points, landmark, column_from=0):
    """A crop with a dark line, 2 px, at a landmark's height."""
    crop, row = filled(60, 10, 20), round(float(points[landmark, 1]) * CROP_SIDE)
    crop[row : row + 2, column_from:] = 30
    return crop


def test_a_line_across_the_bridge_of_the_nose_counts_as_glasses(points):
    bare, line = (appearance(crop, NO_MASK, points).glasses for crop in (filled(60, 10, 20), with_line(points, 168)))
    assert bare < 0.01 and line > 0.15


def test_a_line_that_ends_at_the_bridge_is_no_glasses(points):
    assert (
        appearance(
            with_line(points, 168, column_from=round(float(points[168, 0]) * CROP_SIDE) + 1), NO_MASK, points
        ).glasses
        < 0.02
    )


def test_the_edge_of_a_mask_is_no_glasses(points):
    crop, row = filled(60, 10, 20), round(float(points[6, 1]) * CROP_SIDE) // 2 * 2
    crop[row:] = 255
    assert appearance(crop, NO_MASK, points).glasses > 0.1
    assert appearance(crop, mask_below(row), points).glasses < 0.01


@pytest.mark.parametrize(
    "points", [np.full((478, 2), 0.5, np.float32), np.full((478, 2), -9, np.float32)], ids=["of no size", "outside"]
)
def test_a_face_that_cannot_be_seen_is_measured(points):
    pixels = np.zeros((4, 4, 3), np.uint8)
    assert appearance_of(pixels, align(pixels, points), NO_MASK).glasses >= 0
