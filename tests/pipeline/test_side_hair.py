"""Hair before the sides of a face: masks go under it where it covers an ear, and nothing else changes."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from pipeline.faces.regions import FACE_OVAL
from pipeline.masks.compositing import Layer, MaskLayers, compose
from pipeline.masks.fit import SIDES, face_width
from pipeline.masks.records import UnmaskedFace
from pipeline.masks.side_hair import behind, hair_before
from pipeline.masks.worn import draw_worn
from pipeline.tools import draw_masks
from pipeline.tools.draw_masks import MaskChoice, draw_on_faces

SKIN, HAIR, WALL = (205, 150, 125), (52, 36, 28), (120, 135, 150)
PX = 512


@pytest.fixture(scope="module")
def landmarks(rendered_faces):
    return rendered_faces[0].landmarks


def painted(landmarks, hair=(), ears=(), colour=HAIR):
    """A flat picture of a face and its neck, with hair that hangs before the given sides, 0 or 1, and bare ears."""
    rng, points = np.random.default_rng(0), landmarks * PX
    unit, oval = face_width(points.astype(float)), points[list(FACE_OVAL)]
    image = np.full((PX, PX, 3), WALL, np.uint8)
    for side in hair:
        x, outwards = points[SIDES[side], 0], 1 if side else -1
        left, right = sorted((round(x - 0.1 * outwards * unit), round(x + 0.3 * outwards * unit)))
        image[:, left:right] = colour
    cv2.rectangle(image, *np.rint(points[[172, 397]] + [(0, 0), (0, unit)]).astype(int).tolist(), SKIN, -1)
    cv2.fillPoly(image, [np.rint(oval).astype(np.int32)], SKIN)
    for side in ears:
        centre = points[SIDES[side]] + ((0.05 if side else -0.05) * unit, 0.02 * unit)
        axes = (round(0.07 * unit), round(0.16 * unit))
        cv2.ellipse(image, np.rint(centre).astype(int).tolist(), axes, 0, 0, 360, SKIN, -1)
    image = np.clip(image + rng.normal(0, 4, image.shape), 0, 255).astype(np.uint8)
    return UnmaskedFace(image, landmarks)


def beside(landmarks, side, out=0.06):
    """Row and column of a place beside the ear, outwards by a share of the face's width."""
    points = landmarks * PX
    x, y = points[SIDES[side]] + ((out if side else -out) * face_width(points.astype(float)), 0)
    return round(float(y)), round(float(x))


@pytest.mark.parametrize("colour", [HAIR, (30, 90, 170)])
def test_what_covers_an_ear_is_found_beside_the_face_and_not_on_the_cheek(landmarks, colour):
    found = hair_before(painted(landmarks, hair=(0, 1), colour=colour))
    for side in (0, 1):
        assert found[beside(landmarks, side)] > 0.9
        assert found[beside(landmarks, side, -0.15)] == 0


def test_on_a_side_whose_ear_is_seen_nothing_is_found(landmarks):
    found = hair_before(painted(landmarks, hair=(0,), ears=(1,)))
    half = round(float(landmarks[1, 0] * PX))
    assert found[:, :half].any() and not found[:, half:].any()


def test_small_faces_and_faces_at_the_end_of_the_photo_are_left(landmarks):
    face = painted(landmarks, hair=(0, 1))
    small = cv2.resize(face.image, (64, 64), interpolation=cv2.INTER_AREA)
    assert not hair_before(UnmaskedFace(small, landmarks)).any()
    left = round(float(landmarks[SIDES[0], 0] * PX))
    cut = landmarks * (PX, PX) - (left, 0)
    end = UnmaskedFace(np.ascontiguousarray(face.image[:, left:]), (cut / (PX - left, PX)).astype(np.float32))
    assert not hair_before(end)[:, : round(float(landmarks[1, 0] * PX)) - left].any()


def test_the_same_photo_gives_the_same_hair(landmarks):
    face = painted(landmarks, hair=(0, 1))
    assert np.array_equal(hair_before(face), hair_before(face))


def test_a_mask_is_hidden_as_far_as_something_is_in_front_of_it():
    layer = Layer(np.full((1, 3, 3), 200, np.float32), np.ones((1, 3), np.float32))
    layers = MaskLayers(np.full((1, 3), 0.4, np.float32), layer, replace(layer), np.ones((1, 3), np.float32))
    hidden = behind(layers, np.array([[0, 0.5, 1]], np.float32))
    for seen in (hidden.straps.alpha, hidden.mask.alpha, hidden.coverage, hidden.shadow / 0.4):
        assert seen[0] == pytest.approx([1, 0.5, 0])
    picture = np.full((1, 3, 3), 50, np.uint8)
    assert np.array_equal(compose(picture, hidden)[0, 2], picture[0, 2])


@pytest.mark.parametrize("kind", ["surgical", "cup"])
def test_apply_draws_the_mask_under_hair_and_changes_no_other_pixel(landmarks, monkeypatch, kind):
    face = painted(landmarks, hair=(0, 1))
    points, choice = [(landmarks * PX).astype(np.float32)], MaskChoice(kind, (240, 240, 240), seed=1)
    drawn = draw_on_faces(face.image, points, choice)
    monkeypatch.setattr(draw_masks, "hair_before", lambda cut: np.zeros(cut.image.shape[:2], np.float32))
    over = draw_on_faces(face.image, points, choice)
    different = (drawn != over).any(axis=2)
    found = hair_before(face)
    assert different.any() and not different[found == 0].any()
    assert (over[found == 1] != face.image[found == 1]).any()
    assert np.array_equal(drawn[found == 1], face.image[found == 1])


def test_drawings_to_train_on_stay_over_hair(landmarks):
    """They are made in every step, and must not become slower."""
    face = painted(landmarks, hair=(0, 1))
    straps = draw_worn(face, np.random.default_rng(1), "surgical").straps.alpha
    assert straps[hair_before(face) == 1].max() > 0.5
