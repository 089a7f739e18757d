"""A face in FFHQ's frame: where it was found does not matter, and what is put back touches nothing else."""

import cv2
import numpy as np
import pytest

from pipeline.faces.alignment import align_face, face_frame, paste_back
from pipeline.faces.landmarker import LANDMARKS

SIDE = 64


def face(seed=0):
    """Landmarks (478, 2) of no real face, in shares of FFHQ's frame."""
    return np.random.default_rng(seed).normal((0.5, 0.6), (0.12, 0.15), (LANDMARKS, 2)).astype(np.float32)


def moved(points, scale, degrees, shift):
    turn = scale * np.array([[np.cos(a := np.radians(degrees)), -np.sin(a)], [np.sin(a), np.cos(a)]])
    return (points @ turn.T + shift).astype(np.float32)


@pytest.mark.parametrize(("scale", "degrees", "shift"), [(1, 0, (0, 0)), (300, 0, (20, 40)), (900, 25, (500, -100))])
def test_a_face_has_the_same_place_in_its_frame_wherever_it_is_in_the_photo(scale, degrees, shift):
    points = face()
    there = moved(points, scale, degrees, shift)
    frame, own = face_frame(there), face_frame(points)
    np.testing.assert_allclose(there @ frame[:, :2].T + frame[:, 2], points @ own[:, :2].T + own[:, 2], atol=1e-3)


def photo(width=640, height=480):
    rows, columns = np.mgrid[:height, :width]
    return np.dstack([rows % 256, columns % 256, (rows + columns) % 256]).astype(np.uint8)


FRAMES = {
    "upright": np.array([[1 / 200, 0, -0.5], [0, 1 / 200, -0.4]]),
    "turned": cv2.invertAffineTransform(np.array([[180.0, -80, 200], [80, 180, 100]])),
    "over the edge": np.array([[1 / 300, 0, 0.4], [0, 1 / 300, 0.3]]),
    "tiny": np.array([[1 / 30, 0, -10], [0, 1 / 30, -8]]),
    "huge": np.array([[1 / 2000, 0, 0.3], [0, 1 / 2000, 0.3]]),
}


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
def test_a_shut_matte_leaves_every_pixel(frame):
    pixels = photo()
    paste_back(
        pixels, np.full((SIDE, SIDE, 3), 255, np.float32), np.full((SIDE, SIDE), 0.01, np.float32), frame, 1 / 16
    )
    assert (pixels == photo()).all()


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
def test_outside_the_frame_every_pixel_stays(frame):
    pixels = photo()
    paste_back(pixels, np.full((SIDE, SIDE, 3), 255, np.float32), np.ones((SIDE, SIDE), np.float32), frame, 1 / 16)
    rows, columns = np.mgrid[: pixels.shape[0], : pixels.shape[1]]
    places = np.dstack([columns + 0.5, rows + 0.5]) @ frame[:, :2].T + frame[:, 2]
    outside = ((places < 0) | (places > 1)).any(axis=2)
    assert (pixels[outside] == photo()[outside]).all()
    assert (pixels != photo()).any()


@pytest.mark.parametrize("fade", [1 / 16, 1 / 4])
def test_paint_is_whole_but_where_it_fades_to_the_frame_s_edge(fade):
    pixels, frame = np.zeros((200, 200, 3), np.uint8), np.array([[1 / 200, 0, 0], [0, 1 / 200, 0]])
    paste_back(pixels, np.full((SIDE, SIDE, 3), 255, np.float32), np.ones((SIDE, SIDE), np.float32), frame, fade)
    reach = round(200 * fade) + 4
    assert (pixels[reach:-reach, reach:-reach] == 255).all()
    assert (pixels[: reach // 2] < 255).all()


def test_what_is_cut_out_and_put_back_unchanged_gives_the_photo_again():
    smooth = cv2.GaussianBlur(np.random.default_rng(1).integers(0, 256, (480, 640, 3)).astype(np.uint8), (0, 0), 9)
    frame = FRAMES["turned"]
    cut, _ = align_face(smooth, moved(face(), 200, 20, (200, 100)), frame, 192)
    back = smooth.copy()
    paste_back(back, cut.astype(np.float32), np.ones((192, 192), np.float32), frame, 1 / 16)
    assert np.abs(back.astype(int) - smooth).max() <= 2


def test_the_region_lies_under_the_eyes_and_follows_the_face():
    points = moved(face(), 250, 30, (300, 100))
    _, guide = align_face(photo(), points, face_frame(points), SIDE)
    _, own = align_face(photo(), face(), face_frame(face()), SIDE)
    assert set(np.unique(guide[..., 0])) == {0, 255}
    assert (guide[..., 0] != own[..., 0]).mean() < 0.01
