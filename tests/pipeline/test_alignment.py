"""FFHQ's frame, the aligned crop and the warp: independent of where in the photo the face is."""

import cv2
import numpy as np
import pytest

from pipeline.faces.alignment import (
    _PLACES,
    CROP_SIDE,
    FFHQ_TO_CROP,
    HANGING,
    central_frame,
    face_frame,
    ffhq_frame,
    frame_corners,
    frame_side,
    hanging_frame,
    is_ffhq_framed,
    landmark_alignment,
    training_frame,
    warp_crop,
)
from pipeline.faces.landmarks import LANDMARKS


def face(seed=0):
    """Random landmarks (478, 2), in shares of FFHQ's frame."""
    return np.random.default_rng(seed).normal((0.5, 0.6), (0.12, 0.15), (LANDMARKS, 2)).astype(np.float32)


def framed_face():
    """Landmarks (478, 2) in shares of FFHQ's frame, those of the fit exactly at their mean places."""
    points = face()
    points[list(_PLACES)] = (np.array(list(_PLACES.values())) - FFHQ_TO_CROP[:, 2]) / FFHQ_TO_CROP[0, 0]
    return points


def moved(points, scale, degrees, shift):
    turn = scale * np.array([[np.cos(a := np.radians(degrees)), -np.sin(a)], [np.sin(a), np.cos(a)]])
    return (points @ turn.T + shift).astype(np.float32)


MOVES = [(1, 0, (0, 0)), (300, 0, (20, 40)), (900, 25, (500, -100))]


@pytest.mark.parametrize(("scale", "degrees", "shift"), MOVES)
def test_a_face_has_the_same_place_in_its_frame_anywhere_in_the_photo(scale, degrees, shift):
    points = face()
    photo_points = moved(points, scale, degrees, shift)
    frame, expected = face_frame(photo_points), face_frame(points)
    shares = photo_points @ frame[:, :2].T + frame[:, 2]
    np.testing.assert_allclose(shares, points @ expected[:, :2].T + expected[:, 2], atol=1e-3)


OFF = [(1.3, 0, (-0.15, -0.15)), (0.77, 0, (0.115, 0.115)), (1, 9, (0.08, -0.08)), (1, 0, (0.1, 0.1))]
FAR_OFF = [(1.5, 0, (-0.25, -0.25)), (0.6, 0, (0.2, 0.2)), (1, 12, (0.1, -0.1)), (1, 0, (0.15, 0.15)), (1, 0, (0.3, 0))]


@pytest.mark.parametrize(("scale", "degrees", "shift"), OFF)
def test_a_square_image_is_left_whole_where_its_landmarks_are_off_by_no_more_than_in_ffhq(scale, degrees, shift):
    points = 500 * moved(framed_face(), scale, degrees, shift)
    assert training_frame(points, 500, 500) == pytest.approx(central_frame(500, 500))


@pytest.mark.parametrize(("scale", "degrees", "shift"), FAR_OFF)
def test_a_square_image_is_cut_by_landmarks_that_are_far_off(scale, degrees, shift):
    points = 500 * moved(framed_face(), scale, degrees, shift)
    assert not is_ffhq_framed(face_frame(points), 500, 500)
    assert training_frame(points, 500, 500) == pytest.approx(face_frame(points))


def test_an_image_that_is_not_square_is_cut_by_its_landmarks():
    points = 500 * framed_face()
    assert not is_ffhq_framed(face_frame(points), 520, 500)


def test_a_hanging_frame_is_larger_to_the_sides_and_downwards_and_not_upwards():
    larger = frame_corners(hanging_frame(central_frame(100, 100)))
    assert larger[0].tolist() == pytest.approx([-50 * (HANGING - 1), 0])
    assert larger[2].tolist() == pytest.approx([100 + 50 * (HANGING - 1), 100 * HANGING])


def test_the_side_of_a_frame_is_in_px_of_the_photo():
    assert frame_side(face_frame(moved(framed_face(), 300, 25, (10, 20)))) == pytest.approx(300, abs=0.1)


@pytest.mark.parametrize("degrees", [-40, 0, 25])
def test_the_aligned_crop_is_upright(degrees):
    points = moved(face(), 300, degrees, (50, 60))
    there = landmark_alignment(points)
    upright = landmark_alignment(moved(face(), 300, 0, (0, 0)))
    angle = np.degrees(np.arctan2(there[1, 0], there[0, 0]) - np.arctan2(upright[1, 0], upright[0, 0]))
    assert angle == pytest.approx(-degrees, abs=0.01)


def features(mouth=110):
    """Landmarks with eyes 100 px apart and the mouth some px below them."""
    points = np.zeros((LANDMARKS, 2))
    points[468], points[473] = (200, 300), (300, 300)
    points[61], points[291] = (220, 300 + mouth), (280, 300 + mouth)
    return points


@pytest.mark.parametrize(("mouth", "side"), [(110, 2 * 2.0 * 100), (150, 2 * 1.8 * 150)])
def test_ffhq_s_frame_is_that_of_the_paper(mouth, side):
    centre, found = ffhq_frame(features(mouth))
    assert found == pytest.approx(side)
    assert centre == pytest.approx([250, 300 + 0.1 * mouth])


def test_ffhq_s_frame_is_not_turned_with_the_head():
    turned = features()
    turned[[468, 473, 61, 291]] = [(x - y, x + y) for x, y in turned[[468, 473, 61, 291]] / np.sqrt(2)]
    assert ffhq_frame(turned)[1] == pytest.approx(ffhq_frame(features())[1])


@pytest.mark.parametrize("scale", [2, 1, 0.5, 0.2, 0.05])
def test_a_warp_takes_each_pixel_from_its_place_in_the_photo(scale):
    """The colours of the photo are its coordinates, and the crop begins at (20, 10) px of the warped photo.

    Two levels are a px of the crop.
    """
    rows, columns = (np.mgrid[: round(128 / scale), : round(128 / scale)] + 0.5) * scale
    photo = np.dstack([2 * rows, 2 * columns, rows]).round().astype(np.uint8)
    shift = (scale - 1) / 2  # from pixel centres to pixel centres
    crop = warp_crop(photo, np.array([[scale, 0, shift - 20], [0, scale, shift - 10]]), CROP_SIDE)
    rows, columns = np.mgrid[:CROP_SIDE, :CROP_SIDE] + 0.5
    expected = 2 * np.dstack([rows + 10, columns + 20])
    error = crop[4:-4, 4:-4, :2] - expected[4:-4, 4:-4]
    assert np.abs(error.mean(axis=(0, 1))).max() < 0.15
    assert np.abs(error).max() < 3


def test_fine_stripes_of_a_large_photo_average_to_grey():
    photo = np.repeat(np.tile(np.array([0, 255], np.uint8), 512)[None, :, None], 1024, axis=0).repeat(3, axis=2)
    matrix = cv2.getRotationMatrix2D((512, 512), 0, 1 / 16)
    matrix[:, 2] -= 512 - 32
    assert np.abs(warp_crop(photo, matrix, CROP_SIDE).astype(int) - 127).max() <= 3
