"""Landmarks that a mask turned are looked at again in the face's own frame."""

from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.faces import settled_landmarks
from pipeline.faces.alignment import face_frame
from pipeline.faces.face_crops import framed_points
from pipeline.faces.settled_landmarks import settled
from pipeline.synthetic.portraits import _read_pictures
from pipeline.tools.draw_masks import MaskChoice, draw_photo, drawable_faces, masked_faces
from tests.models.conftest import FACE

PHOTO = np.zeros((400, 400, 3), np.uint8)
POINTS = 100 + 200 * FACE


def turned(points, degrees, shift=0.0):
    """Landmarks turned around their middle, and moved to the right, px."""
    angle, middle = np.radians(degrees), points.mean(axis=0)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return ((points - middle) @ turn.T + middle + (shift, 0)).astype(np.float32)


@pytest.fixture
def look(monkeypatch):
    """A function that sets what the looks find, px of the photo, in turn; None: no face. What is left of it remains."""
    finds = []

    def search(points):
        frames = iter([points, *finds])

        def detect(_crop):
            frame, found = face_frame(next(frames)), finds.pop(0)
            return [] if found is None else [SimpleNamespace(points=framed_points(found, frame))]

        monkeypatch.setattr(settled_landmarks, "get_landmarker", lambda _faces: detect)
        return settled(PHOTO, points)

    def settle(points, *found):
        finds.extend(found)
        return search(points), finds

    return settle


def test_landmarks_that_one_look_confirms_stay_as_they_are(look):
    points, left = look(POINTS, turned(POINTS, 3), None)
    assert points is POINTS and left == [None]


def test_a_roll_on_which_two_looks_agree_is_taken(look):
    points, _ = look(turned(POINTS, 12), turned(POINTS, 1), POINTS)
    assert np.abs(points - POINTS).max() < 0.01


def test_landmarks_stay_where_two_looks_disagree(look):
    given = turned(POINTS, 12)
    assert look(given, POINTS, turned(POINTS, -10))[0] is given


def test_landmarks_of_another_face_are_not_taken(look):
    given = turned(POINTS, 12)
    assert look(given, turned(POINTS, 0, 60), turned(POINTS, 0, 60))[0] is given


@pytest.mark.parametrize("found", [[None], [POINTS, None]])
def test_landmarks_stay_where_no_face_is_found_again(look, found):
    given = turned(POINTS, 12)
    assert look(given, *found)[0] is given


def roll(points):
    (x, y) = points[263] - points[33]
    return np.degrees(np.arctan2(y, x))


def test_a_masked_face_of_the_sample_is_as_upright_as_without_its_mask():
    photo = np.ascontiguousarray(next(iter(_read_pictures())))
    (bare,) = drawable_faces(photo)
    masked = draw_photo(photo, MaskChoice("surgical", (142, 199, 234), 0)).pixels
    (found,) = masked_faces(masked, drawable_faces(masked))
    assert roll(found) == pytest.approx(roll(bare), abs=3)
