"""Faces of an image: the largest first, and faces that the landmarker misses."""

import numpy as np
import pytest

from pipeline.faces import centerface, detection
from pipeline.faces.alignment import CROP_SIDE
from pipeline.faces.centerface import Detection
from pipeline.faces.detection import count_faces, face_area, find_faces, find_hidden_faces, is_second_face
from pipeline.faces.landmarker import Face, get_landmarker
from pipeline.faces.landmarks import LANDMARKS
from pipeline.faces.mask_coverage import CHANNELS
from pipeline.faces.metrics import pose
from pipeline.faces.regions import LOWER_FACE, polygon_mask


def box(left, top, right, bottom):
    """A face whose landmarks fill a box, in shares of the image."""
    grid = np.linspace(0, 1, LANDMARKS, dtype=np.float32)
    points = np.stack([left + grid * (right - left), top + grid * (bottom - top)], axis=1)
    return Face(points, np.eye(4, dtype=np.float32))


@pytest.fixture
def detections(monkeypatch):
    """Sets what each landmarker detects, by its max_faces; gives the shapes of the images that each saw."""
    seen = {}

    def use(by_max_faces):
        def get(max_faces):
            def detect(pixels):
                seen.setdefault(max_faces, []).append(pixels.shape)
                return by_max_faces[max_faces]

            return detect

        monkeypatch.setattr(detection, "get_landmarker", get)
        return seen

    return use


BLANK = np.full((100, 200, 3), 128, np.uint8)


def test_the_largest_face_comes_first(detections):
    detections({4: [box(0, 0, 0.2, 0.2), box(0.3, 0.3, 1, 1), box(0, 0.5, 0.3, 0.9)]})
    areas = [face_area(face) for face in find_faces(BLANK, 4)]
    assert areas == sorted(areas, reverse=True) and areas[0] == pytest.approx(0.49, rel=1e-3)


def test_the_second_detector_runs_only_where_the_landmarker_finds_nothing(detections, monkeypatch):
    hidden = box(0.2, 0.2, 0.4, 0.4)
    monkeypatch.setattr(detection, "find_hidden_faces", lambda pixels, max_faces: [hidden])
    detections({4: [box(0, 0, 0.5, 0.5)]})
    assert find_faces(BLANK, 4)[0] is not hidden
    detections({4: []})
    assert find_faces(BLANK, 4)[0] is hidden


def tight_crop(portrait, colour):
    """A tight crop of a portrait under a mask of a flat colour, and its landmarks as shares of the crop."""
    pixels = np.asarray(portrait)
    px = get_landmarker(1)(pixels)[0].points * pixels.shape[0]
    low, high = px.min(axis=0).astype(int).clip(0), px.max(axis=0).astype(int)
    low[1] += (high[1] - low[1]) // 5  # through the forehead
    pixels = np.where(polygon_mask(px / pixels.shape[0], LOWER_FACE, *pixels.shape[:2])[..., None], colour, pixels)
    return pixels[low[1] : high[1], low[0] : high[0]].astype(np.uint8), (px - low) / (high - low)


@pytest.mark.parametrize("number", range(6))
def test_a_tight_crop_under_a_dark_mask_is_found_although_the_landmarker_misses_it(portraits, number):
    pixels, expected = tight_crop(portraits[number], (30, 32, 38))
    assert get_landmarker(1)(pixels) == []
    (face,) = find_hidden_faces(pixels, 4)
    assert np.abs(face.points - expected).mean() < 0.05


def test_an_unmasked_face_is_found_too_with_the_landmarker_s_landmarks_and_pose(portraits):
    pixels = np.asarray(portraits[0])
    (first,), (second,) = get_landmarker(1)(pixels), find_hidden_faces(pixels, 4)
    assert np.abs(first.points - second.points).max() < 0.05
    np.testing.assert_allclose(pose(second.transform), pose(first.transform), atol=5)


def test_each_face_of_a_group_is_found_up_to_the_number_asked_for(portraits):
    row = np.hstack([np.asarray(portrait) for portrait in portraits[:3]])
    assert [len(find_hidden_faces(row, number)) for number in (1, 2, 4)] == [1, 2, 3]


@pytest.mark.parametrize("size", [(256, 256), (1, 1), (2, 900), (900, 2)])
def test_no_face_is_found_in_noise(size):
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    assert find_hidden_faces(noise, 4) == []


def test_a_face_whose_eyes_are_under_a_mask_does_not_count(portraits, monkeypatch):
    pixels = np.asarray(portraits[0])
    maps = np.ones((1, len(CHANNELS), CROP_SIDE // 2, CROP_SIDE // 2), np.float32)
    monkeypatch.setattr(detection, "segment_crops", lambda crops: 0.3 * maps)
    assert len(find_hidden_faces(pixels, 4)) == 1
    monkeypatch.setattr(detection, "segment_crops", lambda crops: 0.5 * maps)
    assert find_hidden_faces(pixels, 4) == []


def seen(score, left, top, side):
    """A detection of the second detector: a square box with a face's points in it."""
    places = np.array([(0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8)])
    box = np.array([left, top, left + side, top + side], float)
    return Detection(score, box, box[:2] + side * places)


@pytest.fixture
def second_detector(monkeypatch):
    """Sets what the second detector sees, and by how much the landmarks disagree with it."""

    def use(detections, disagreement=0.0):
        landmarks = np.random.default_rng(0).uniform(20, 60, (478, 3))
        monkeypatch.setattr(centerface, "detect", lambda pixels, score: [d for d in detections if d.score >= score])
        monkeypatch.setattr(detection, "_landmarks", lambda pixels, five: (landmarks, disagreement))
        monkeypatch.setattr(detection, "_eye_coverage", lambda pixels, points: 0.0)
        return len(find_hidden_faces(BLANK, 4))

    return use


@pytest.mark.parametrize(("score", "count"), [(0.29, 0), (0.31, 1)])
def test_a_face_counts_from_a_score_on(second_detector, score, count):
    assert second_detector([seen(score, 10, 10, 60)]) == count


@pytest.mark.parametrize(("disagreement", "count"), [(0.59, 1), (0.61, 0)])
def test_a_face_counts_only_if_its_landmarks_agree_with_the_detector(second_detector, disagreement, count):
    assert second_detector([seen(0.5, 10, 10, 60)], disagreement) == count


@pytest.mark.parametrize(("doubtful", "count"), [(0.14, 1), (0.16, 0)])
def test_a_small_face_beside_a_large_one_in_doubt_does_not_count(second_detector, doubtful, count):
    assert second_detector([seen(0.5, 0, 0, 20), seen(doubtful, 30, 10, 60)]) == count


@pytest.mark.parametrize(("side", "count"), [(0.2, 1), (0.3, 2)])
def test_a_second_face_counts_from_a_fifth_of_the_largest_face_s_area(side, count):
    assert count_faces([box(0.4, 0.4, 1.0, 1.0), box(0, 0, side, side)]) == count


def test_no_faces_count_as_none():
    assert count_faces([]) == 0


def test_a_face_inside_the_largest_face_is_no_second_face():
    assert not is_second_face(box(0.3, 0.3, 0.7, 0.7), box(0.1, 0.1, 0.9, 0.9))
