"""A generator's input and output: the face is cropped, and pasting back changes nothing outside the matte."""

import cv2
import numpy as np
import pytest
from PIL import Image

from pipeline.faces.alignment import face_frame
from pipeline.faces.face_crops import align_face, crop_frame, framed_points, paste_back, unframed
from tests.pipeline.test_alignment import face, moved

SIDE = 64
SHIFT = np.array([[0, 0, 399.5], [0, 0, 399.5]])  # after a rotation about (400, 400): that is the frame's centre


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
def test_a_matte_near_zero_changes_no_pixel(frame):
    pixels = photo()
    paste_back(
        pixels, np.full((SIDE, SIDE, 3), 255, np.float32), np.full((SIDE, SIDE), 0.01, np.float32), frame, 1 / 16
    )
    assert (pixels == photo()).all()


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
def test_no_pixel_outside_the_frame_changes(frame):
    pixels = photo()
    paste_back(pixels, np.full((SIDE, SIDE, 3), 255, np.float32), np.ones((SIDE, SIDE), np.float32), frame, 1 / 16)
    rows, columns = np.mgrid[: pixels.shape[0], : pixels.shape[1]]
    places = np.dstack([columns + 0.5, rows + 0.5]) @ frame[:, :2].T + frame[:, 2]
    outside = ((places < 0) | (places > 1)).any(axis=2)
    assert (pixels[outside] == photo()[outside]).all()
    assert (pixels != photo()).any()


@pytest.mark.parametrize("fade", [1 / 16, 1 / 4])
def test_the_output_is_opaque_inside_and_fades_to_the_edge_of_the_frame(fade):
    pixels, frame = np.zeros((200, 200, 3), np.uint8), np.array([[1 / 200, 0, 0], [0, 1 / 200, 0]])
    paste_back(pixels, np.full((SIDE, SIDE, 3), 255, np.float32), np.ones((SIDE, SIDE), np.float32), frame, fade)
    reach = round(200 * fade) + 4
    assert (pixels[reach:-reach, reach:-reach] == 255).all()
    assert (pixels[: reach // 2] < 255).all()


def test_pasting_back_an_unchanged_crop_gives_the_photo_again():
    smooth = cv2.GaussianBlur(np.random.default_rng(1).integers(0, 256, (480, 640, 3)).astype(np.uint8), (0, 0), 9)
    frame = FRAMES["turned"]
    crop, _ = align_face(smooth, moved(face(), 200, 20, (200, 100)), frame, 192)
    back = smooth.copy()
    paste_back(back, crop.astype(np.float32), np.ones((192, 192), np.float32), frame, 1 / 16)
    assert np.abs(back.astype(int) - smooth).max() <= 2


def test_outside_the_photo_its_edge_is_repeated():
    gradient = np.tile(np.linspace(0, 255, 300).astype(np.uint8)[:, None, None], (1, 300, 3))
    shifted = np.array([[1 / 300, 0, 0.5], [0, 1 / 300, 0]])  # the photo begins in the middle of the crop
    crop = crop_frame(Image.fromarray(gradient), shifted, SIDE)
    assert (np.ptp(crop, axis=1) <= 1).all()
    below = np.array([[1 / 300, 0, 0], [0, 1 / 300, -2]])
    assert (crop_frame(Image.fromarray(gradient), below, SIDE) == 255).all()


@pytest.mark.parametrize("degrees", [0, 7])
@pytest.mark.parametrize("period", [2, 3, 8])
def test_fine_stripes_of_a_large_photo_are_cropped_to_grey(degrees, period):
    stripes = np.where(np.arange(2000) % period < period / 2, 255, 0).astype(np.uint8)
    photo = Image.fromarray(np.repeat(stripes[None, :, None], 1500, axis=0).repeat(3, axis=2))
    turn = cv2.getRotationMatrix2D((1000, 750), degrees, 1 / 1200)
    turn[:, 2] -= (999.5, 749.5)
    crop = crop_frame(photo, turn, SIDE).astype(int)
    assert np.abs(crop - stripes.mean()).max() <= 4


def test_a_turned_crop_is_as_sharp_as_one_that_is_only_resized():
    noise = np.random.default_rng(3).integers(0, 256, (800, 800, 3)).astype(np.uint8)
    upright, turned = (
        crop_frame(Image.fromarray(noise), cv2.getRotationMatrix2D((400, 400), degrees, 1 / 400) - SHIFT, 128)
        for degrees in (0, 0.01)
    )
    assert np.abs(turned.astype(int) - upright).mean() < 0.05 * upright.std()


def test_the_conditioning_maps_do_not_depend_on_where_the_face_is():
    points = moved(face(), 250, 30, (300, 100))
    _, maps = align_face(photo(), points, face_frame(points), SIDE)
    _, expected = align_face(photo(), face(), face_frame(face()), SIDE)
    assert set(np.unique(maps[..., 0])) == {0, 255}
    assert (maps[..., 0] != expected[..., 0]).mean() < 0.01


def ramps(side):
    """Maps (side, side, 2) of the places of their pixels: shares of the frame, right and down."""
    centres = (np.arange(side, dtype=np.float32) + 0.5) / side
    return np.dstack(np.meshgrid(centres, centres))


@pytest.mark.parametrize("name", ["upright", "turned", "over the edge", "huge"])
@pytest.mark.parametrize("box", [(0, 0, 640, 480), (300, 150, 420, 333)])
def test_maps_of_a_frame_are_found_again_at_each_pixel_of_the_photo(name, box):
    frame, (left, top, right, bottom) = FRAMES[name], box
    found = unframed(ramps(SIDE), frame, box)
    columns, rows = np.meshgrid(np.arange(left, right), np.arange(top, bottom))
    places = np.dstack([columns + 0.5, rows + 0.5])
    expected = framed_points(places.reshape(-1, 2), frame).reshape(places.shape)
    assert found.shape == (bottom - top, right - left, 2)
    half = 0.5 / SIDE  # beyond the outermost centres, their values are repeated
    assert np.abs(found - expected.clip(half, 1 - half)).max() < 0.002


def test_maps_of_a_photo_that_is_its_frame_are_the_maps_themselves():
    maps = np.random.default_rng(0).random((SIDE, SIDE, 3)).astype(np.float32)
    whole = np.array([[1 / SIDE, 0, 0], [0, 1 / SIDE, 0]])
    np.testing.assert_allclose(unframed(maps, whole, (0, 0, SIDE, SIDE)), maps, atol=1e-6)
