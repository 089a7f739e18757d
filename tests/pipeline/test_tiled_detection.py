"""Faces of a photo: small ones too, each once."""

import numpy as np
import pytest
from PIL import Image

from pipeline.faces.landmarker import Face, open_landmarker
from pipeline.faces.tiled_detection import MAX_FACES, find_all_faces


@pytest.fixture(scope="module")
def detect():
    with open_landmarker(MAX_FACES) as found:
        yield found


def nothing(_pixels):
    return []


def group(portraits, px, width, height, places):
    canvas = Image.new("RGB", (width, height), (96, 112, 128))
    for portrait, place in zip(portraits, places, strict=False):
        canvas.paste(portrait.resize((px, px), Image.Resampling.LANCZOS), place)
    return np.asarray(canvas)


def test_a_portrait_has_one_face_in_the_middle(portraits, detect):
    (points,) = find_all_faces(np.asarray(portraits[0]), detect, nothing)
    assert points.shape == (478, 2)
    assert np.abs(points.mean(axis=0) / 256 - 0.5).max() < 0.2


def test_a_group_s_small_faces_are_found_each_once(portraits, detect):
    places = [(40, 60), (700, 90), (1400, 30), (200, 700), (800, 800), (1500, 760)]
    photo = group(portraits, 150, 1800, 1200, places)
    found = find_all_faces(photo, detect, nothing)
    middles = [points.mean(axis=0) for points in found]
    assert len(found) == len(places)
    for left, top in places:
        assert any(left < x < left + 150 and top < y < top + 150 for x, y in middles)


def test_the_largest_face_comes_first(portraits, detect):
    photo = np.array(group(portraits[:1], 300, 1200, 900, [(100, 100)]))
    photo[500:660, 800:960] = np.asarray(portraits[1].resize((160, 160)))
    heights = [np.ptp(points[:, 1]) for points in find_all_faces(photo, detect, nothing)]
    assert len(heights) == 2
    assert heights == sorted(heights, reverse=True)


def test_a_face_that_a_part_cuts_off_is_taken_from_the_part_that_holds_it_whole():
    """A landmarker that sees in each part whatever of one face's box lies in it."""
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
    (points,) = find_all_faces(photo, detect, nothing)
    np.testing.assert_allclose([points.min(axis=0), points.max(axis=0)], [low, high], atol=10)


def test_a_badge_on_a_cap_is_no_face(portraits, detect):
    """The admiral's: the landmarker takes it for one where it sees it alone."""
    photo = group(portraits, 256, 900, 600, [(60, 200), (600, 40)])
    assert len(find_all_faces(photo, detect, nothing)) == 2


def test_only_where_nothing_is_found_a_second_try_is_made(portraits, detect):
    blank, asked = np.full((300, 400, 3), 128, np.uint8), []
    hidden = Face(np.linspace((0.2, 0.2), (0.8, 0.8), 478, dtype=np.float32), np.eye(4, dtype=np.float32))

    def second_try(pixels):
        asked.append(pixels.shape)
        return [hidden]

    assert len(find_all_faces(blank, detect, second_try)) == 1
    find_all_faces(np.asarray(portraits[0]), detect, second_try)
    assert asked == [(300, 400, 3)]
