"""Conditioning maps: the lower-face region and the landmark sketch."""

import numpy as np
import pytest

from pipeline.faces.conditioning import conditioning_maps, landmark_sketch
from pipeline.faces.landmarks import LANDMARKS
from pipeline.faces.regions import JAW, MOUTH, lower_face_mask

SIDE = 96
INNER_LIPS = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191)


def oval(landmarks, centre, width, height, points):
    angles = np.linspace(0, 2 * np.pi, len(landmarks), endpoint=False)
    points[list(landmarks)] = np.column_stack([np.cos(angles) * width, np.sin(angles) * height]) + centre


def face(opened):
    """Landmarks of a face whose mouth is an oval at (0.5, 0.7), open by a share of its height; the jaw is an arc."""
    points = np.full((LANDMARKS, 2), 0.5, np.float32)
    oval(MOUTH, (0.5, 0.7), 0.12, 0.06, points)
    oval(INNER_LIPS, (0.5, 0.7), 0.09, 0.03 * opened, points)
    angles = np.linspace(np.pi, 0, len(JAW))
    points[list(JAW)] = np.column_stack([0.5 + np.cos(angles) * 0.3, 0.5 + np.sin(angles) * 0.4])
    return points


def test_an_open_mouth_is_filled_and_a_closed_one_is_not():
    middle = round(0.7 * SIDE), round(0.5 * SIDE)
    lip = round(0.65 * SIDE), round(0.5 * SIDE)
    opened, closed = (landmark_sketch(face(by), SIDE, SIDE) for by in (1, 0))
    assert opened[middle] == 255 and opened[lip] == closed[lip] == 176
    assert (opened == 255).sum() > 5 * (closed == 255).sum()


def test_the_jaw_is_a_line():
    sketch = landmark_sketch(face(1), SIDE, SIDE)
    chin = sketch[round(0.8 * SIDE) :, SIDE // 2]
    assert 0 < (chin > 0).sum() <= 4
    assert chin.max() <= 96


@pytest.mark.parametrize("side", [32, 96, 286])
def test_the_first_map_is_the_lower_face_region_at_any_size(side):
    maps = conditioning_maps(face(1), side, side)
    assert maps.shape == (side, side, 2) and maps.dtype == np.uint8
    assert (maps[..., 0] == lower_face_mask(face(1), side, side)).all()


def test_without_landmarks_both_maps_are_zero():
    maps = conditioning_maps(None, 32, 48)
    assert maps.shape == (32, 48, 2) and not maps.any()
