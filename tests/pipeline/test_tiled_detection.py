"""All faces of a photo: small ones too, each once."""

import numpy as np
from PIL import Image

from pipeline.faces import tiled_detection
from pipeline.faces.landmarker import Face
from pipeline.faces.tiled_detection import find_all_faces


def group(portraits, px, width, height, places):
    """A photo with portraits of `px`, each with its upper left corner at a place."""
    canvas = Image.new("RGB", (width, height), (96, 112, 128))
    for portrait, place in zip(portraits, places, strict=False):
        canvas.paste(portrait.resize((px, px), Image.Resampling.LANCZOS), place)
    return np.asarray(canvas)


def test_a_portrait_has_one_face_in_the_middle(portraits):
    (points,) = find_all_faces(np.asarray(portraits[0]))
    assert points.shape == (478, 2)
    assert np.abs(points.mean(axis=0) / 256 - 0.5).max() < 0.2


def test_each_small_face_of_a_group_is_found_once(portraits):
    places = [(40, 60), (700, 90), (1400, 30), (200, 700), (800, 800), (1500, 760)]
    photo = group(portraits, 150, 1800, 1200, places)
    faces = find_all_faces(photo)
    centres = [points.mean(axis=0) for points in faces]
    assert len(faces) == len(places)
    for left, top in places:
        assert any(left < x < left + 150 and top < y < top + 150 for x, y in centres)


def test_the_largest_face_comes_first(portraits):
    photo = np.array(group(portraits[:1], 300, 1200, 900, [(100, 100)]))
    photo[500:660, 800:960] = np.asarray(portraits[1].resize((160, 160)))
    heights = [np.ptp(points[:, 1]) for points in find_all_faces(photo)]
    assert len(heights) == 2
    assert heights == sorted(heights, reverse=True)


def test_small_faces_beside_a_near_one_are_found(portraits):
    photo = np.array(group(portraits[:1], 900, 1400, 1000, [(0, 100)]))
    for number, (left, top, px) in enumerate([(1000, 80, 160), (1200, 400, 120), (960, 700, 100)], start=1):
        photo[top : top + px, left : left + px] = np.asarray(portraits[number].resize((px, px)))
    assert len(find_all_faces(photo)) == 4


def test_a_portrait_is_not_searched_in_tiles(portraits, monkeypatch):
    monkeypatch.setattr(tiled_detection, "_tiles", None)
    assert len(find_all_faces(np.asarray(portraits[0]))) == 1


def test_a_face_at_the_edge_of_a_tile_is_taken_from_a_tile_that_contains_it_whole(monkeypatch):
    """With a landmarker that detects in each tile the visible part of one face's box."""
    low, high = np.array([480, 380], np.float32), np.array([620, 540], np.float32)

    def detect(pixels):
        top, left = pixels[0, 0, :2].astype(int) * 10
        side = np.array(pixels.shape[1::-1], np.float32)
        box = np.clip((np.stack([low, high]) - (left, top)) / side, 0, 1)
        if (np.ptp(box, axis=0) == 0).any() or side.max() > 600:
            return []
        return [Face(np.linspace(box[0], box[1], 478, dtype=np.float32), np.eye(4, dtype=np.float32))]

    rows, columns = np.mgrid[:1000, :1000] // 10
    photo = np.dstack([rows, columns, rows]).astype(np.uint8)
    monkeypatch.setattr(tiled_detection, "get_landmarker", lambda max_faces: detect)
    (points,) = find_all_faces(photo)
    np.testing.assert_allclose([points.min(axis=0), points.max(axis=0)], [low, high], atol=10)


def test_a_badge_on_a_cap_is_no_face(portraits):
    """The landmarker detects a face in the badge on the admiral's cap."""
    photo = group(portraits, 256, 900, 600, [(60, 200), (600, 40)])
    assert len(find_all_faces(photo)) == 2


def test_the_second_detector_runs_on_the_whole_photo_where_nothing_is_found(portraits, monkeypatch):
    photos = []
    hidden = Face(np.linspace((0.2, 0.2), (0.8, 0.8), 478, dtype=np.float32), np.eye(4, dtype=np.float32))
    monkeypatch.setattr(
        tiled_detection, "find_hidden_faces", lambda pixels, max_faces: photos.append(pixels.shape) or [hidden]
    )
    assert len(find_all_faces(np.full((300, 400, 3), 128, np.uint8))) == 1
    find_all_faces(np.asarray(portraits[0]))
    assert photos == [(300, 400, 3)]
