"""FFHQ's frame, the aligned crop and the warp: independent of where in the photo the face is."""

import cv2
import numpy as np
import pytest

from pipeline.faces.alignment import CROP_SIDE, face_frame, ffhq_frame, landmark_alignment, warp_crop
from pipeline.faces.landmarks import LANDMARKS


def face(seed=0):
    """Random landmarks (478, 2), in shares of FFHQ's frame."""
    return np.random.default_rng(seed).normal((0.5, 0.6), (0.12, 0.15), (LANDMARKS, 2)).astype(np.float32)


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


# A photo that is shrunk first is displaced by up to a quarter px of the crop, which is half a level here.
@pytest.mark.parametrize(("scale", "bias"), [(2, 0.25), (1, 0.25), (0.5, 0.25), (0.2, 0.6), (0.05, 0.6)])
def test_a_warp_takes_each_pixel_from_its_place_in_the_photo(scale, bias):
    """The colours of the photo are its coordinates, and the crop begins at (20, 10) px of the warped photo."""
    rows, columns = (np.mgrid[: round(128 / scale), : round(128 / scale)] + 0.5) * scale
    photo = np.dstack([2 * rows, 2 * columns, rows]).round().astype(np.uint8)
    shift = (scale - 1) / 2  # from pixel centres to pixel centres
    crop = warp_crop(photo, np.array([[scale, 0, shift - 20], [0, scale, shift - 10]]), CROP_SIDE)
    rows, columns = np.mgrid[:CROP_SIDE, :CROP_SIDE] + 0.5
    expected = 2 * np.dstack([rows + 10, columns + 20])
    error = crop[4:-4, 4:-4, :2] - expected[4:-4, 4:-4]
    assert np.abs(error.mean(axis=(0, 1))).max() < bias
    assert np.abs(error).max() < 3


def test_fine_stripes_of_a_large_photo_average_to_grey():
    photo = np.repeat(np.tile(np.array([0, 255], np.uint8), 512)[None, :, None], 1024, axis=0).repeat(3, axis=2)
    matrix = cv2.getRotationMatrix2D((512, 512), 0, 1 / 16)
    matrix[:, 2] -= 512 - 32
    assert np.abs(warp_crop(photo, matrix, CROP_SIDE).astype(int) - 127).max() <= 3
