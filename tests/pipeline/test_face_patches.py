import numpy as np
import pyarrow as pa
import pytest

from pipeline.curation.face_patches import ABOVE_MASK_ROWS, OUTSIDE, PATCH_PX, face_hashes, face_patch, patch_array
from pipeline.faces.alignment import _PLACES, FFHQ_TO_CROP
from tests.pipeline.test_hashes import shades

SIDE = 192


def photo(side=SIDE):
    return np.asarray(shades(1).resize((side, side)))


def upright_face():
    """Landmarks (478, 2), shares of an image that is FFHQ's frame."""
    points = np.zeros((478, 2), np.float32)
    for landmark, place in _PLACES.items():
        points[landmark] = (np.array(place) - FFHQ_TO_CROP[:, 2]) / FFHQ_TO_CROP[0, 0]
    return points


def whole(side=SIDE):
    return (0, 0, side, side)


def test_the_patch_of_a_photo_in_ffhq_s_frame_is_the_photo():
    patch = face_patch(photo(), upright_face(), whole()).pixels
    luma = photo() @ (0.299, 0.587, 0.114)
    reduced = luma.reshape(PATCH_PX, 4, PATCH_PX, 4).mean(axis=(1, 3))
    assert np.abs(patch.astype(float) - reduced)[2:-2, 2:-2].mean() < 8


def test_a_cropped_photo_has_the_same_patch_where_both_reach():
    points = upright_face()
    cropped = (points * SIDE - 16) / (SIDE - 32)
    patch = face_patch(photo()[16:-16, 16:-16], cropped.astype(np.float32), whole(SIDE - 32)).pixels
    full = face_patch(photo(), points, whole()).pixels
    inside = patch != OUTSIDE
    assert 0.6 < inside.mean() < 0.75
    assert np.abs(patch.astype(int) - full)[inside].mean() < 3


def test_what_is_beyond_the_photo_s_box_is_outside():
    patch = face_patch(photo(), upright_face(), (0, 0, SIDE, SIDE // 2)).pixels
    assert (patch[: PATCH_PX // 2 - 1] != OUTSIDE).all() and (patch[PATCH_PX // 2 + 1 :] == OUTSIDE).all()


def test_without_a_face_the_frame_is_the_photo_s_box():
    frame = face_patch(photo(), None, (20, 40, 100, 140)).frame
    assert frame == pytest.approx(np.eye(2, 3), abs=1e-6)


def test_the_frame_leads_from_the_photo_to_the_patch():
    face = face_patch(photo(), upright_face(), whole())
    assert face.frame == pytest.approx(np.eye(2, 3), abs=1e-4)


def test_a_mask_does_not_change_the_face_s_hash():
    patch = face_patch(photo(), upright_face(), whole()).pixels
    masked = patch.copy()
    masked[ABOVE_MASK_ROWS:] = 200
    assert face_hashes([patch]) == face_hashes([masked])


def test_hashes_are_the_same_in_any_batch():
    patches = [face_patch(photo(), None, (0, 0, size, size)).pixels for size in (90, 120, 192)]
    hashes, mirrored = face_hashes(patches)
    assert [face_hashes([patch]) for patch in patches] == [([h], [m]) for h, m in zip(hashes, mirrored, strict=True)]


def test_a_missing_patch_is_all_outside():
    content = bytes(range(1, 256)) * 9 + bytes(PATCH_PX**2 - 255 * 9)
    column = pa.chunked_array([[None, content], [content]], pa.binary(PATCH_PX**2))
    patches = patch_array(column)
    assert patches.shape == (3, PATCH_PX, PATCH_PX)
    assert (patches[0] == OUTSIDE).all() and patches[1].tobytes() == patches[2].tobytes() == content
