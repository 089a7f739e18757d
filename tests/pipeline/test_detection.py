"""Faces of an image: the largest first, and masked faces that the landmarker misses."""

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline.faces import detection
from pipeline.faces.detection import count_faces, detect_masked_face, face_area, find_faces, is_second_face
from pipeline.faces.landmarker import Face, get_landmarker
from pipeline.faces.landmarks import LANDMARKS
from pipeline.storage.shards import read_members


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
        def get(max_faces, confidence=0.5):
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


def test_the_second_detection_runs_only_where_the_first_finds_nothing(detections):
    seen = detections({4: [box(0, 0, 0.5, 0.5)], 1: []})
    find_faces(BLANK, 4)
    assert 1 not in seen
    seen = detections({4: [], 1: []})
    find_faces(BLANK, 4)
    assert seen[1] == [(150, 300, 3)]  # the padded image


@pytest.mark.parametrize(("coverage", "count"), [(0.39, 0), (0.41, 1)])
def test_the_second_detection_accepts_only_a_covered_face(detections, monkeypatch, coverage, count):
    detections({1: [box(0.4, 0.4, 0.6, 0.6)]})
    measured = type("Coverage", (), {"face": coverage})
    monkeypatch.setattr(detection, "measure_coverage", lambda faces: [measured])
    assert len(detect_masked_face(BLANK)) == count


def test_the_second_detection_finds_no_face_in_noise():
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    assert detect_masked_face(noise) == []


def test_the_second_detection_accepts_no_unmasked_face(portraits):
    assert detect_masked_face(np.asarray(portraits[0])) == []


def test_the_second_detection_gives_landmarks_as_shares_of_the_image_without_padding(sample_workspace):
    rows = pd.read_parquet(sample_workspace / "data/manifest.parquet")
    masked = rows[rows["accepted"] & (rows["domain"] == "masked")].iloc[0]
    content = next(read_members(sample_workspace / "data/raw/maskedface" / masked["archive"], [masked["path"]]))
    pixels = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    (first,), (second,) = get_landmarker(1)(pixels), detect_masked_face(pixels)
    assert np.abs(first.points - second.points).max() < 0.05


@pytest.mark.parametrize(("side", "count"), [(0.2, 1), (0.3, 2)])
def test_a_second_face_counts_from_a_fifth_of_the_largest_face_s_area(side, count):
    assert count_faces([box(0.4, 0.4, 1.0, 1.0), box(0, 0, side, side)]) == count


def test_no_faces_count_as_none():
    assert count_faces([]) == 0


def test_a_face_inside_the_largest_face_is_no_second_face():
    assert not is_second_face(box(0.3, 0.3, 0.7, 0.7), box(0.1, 0.1, 0.9, 0.9))
