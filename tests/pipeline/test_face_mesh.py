"""The landmark network on a given square."""

import cv2
import numpy as np
import pytest

from pipeline.faces.face_mesh import face_of, place_landmarks, square_around
from pipeline.faces.landmarker import get_landmarker
from pipeline.faces.metrics import pose


@pytest.fixture(scope="module")
def pixels(portraits):
    """A portrait, (256, 256, 3)."""
    return np.asarray(portraits[0])


@pytest.mark.parametrize("angle", [0, -20])
def test_landmarks_and_pose_are_those_of_mediapipe_on_its_own_square(pixels, angle):
    matrix = cv2.getRotationMatrix2D((128, 128), angle, 1)
    turned = cv2.warpAffine(pixels, matrix, (256, 256), borderMode=cv2.BORDER_REPLICATE)
    face = get_landmarker(1)(turned)[0]
    found = face_of(place_landmarks(turned, square_around(face.points.astype(float) * 256)), 256, 256)
    eyes = np.linalg.norm(face.points[33] - face.points[263])
    assert np.linalg.norm(found.points - face.points, axis=1).mean() < 0.05 * eyes
    np.testing.assert_allclose(pose(found.transform), pose(face.transform), atol=3)
    np.testing.assert_allclose(found.transform, face.transform, atol=0.06 * abs(face.transform[2, 3]))
    np.testing.assert_allclose(found.transform[:3, :3], face.transform[:3, :3], atol=0.06)


def test_landmarks_may_lie_outside_the_image(pixels):
    points = get_landmarker(1)(pixels)[0].points.astype(float) * 256
    cut = int(points[4, 0])  # through the tip of the nose
    moved = place_landmarks(np.ascontiguousarray(pixels[:, cut:]), square_around(points - (cut, 0)))
    assert moved[:, 0].min() < -0.2 * np.ptp(points[:, 0])


def test_a_square_turns_with_the_eyes_and_contains_the_face(pixels):
    points = get_landmarker(1)(pixels)[0].points.astype(float) * 256
    upright = square_around(points)
    turn = np.array([[np.cos(0.5), -np.sin(0.5)], [np.sin(0.5), np.cos(0.5)]])
    turned = square_around(points @ turn.T)
    assert turned.angle - upright.angle == pytest.approx(0.5)
    assert turned.side == pytest.approx(upright.side)
    np.testing.assert_allclose(turned.centre, turn @ upright.centre)
    assert (np.abs(points - upright.centre).max(axis=0) < upright.side / 2).all()
