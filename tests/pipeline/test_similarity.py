"""Copies of one picture have a high similarity whatever was done to them, and other pictures a low one."""

import cv2
import numpy as np
import pytest

from pipeline.curation import similarity as module
from pipeline.curation.face_patches import ABOVE_MASK_ROWS, OUTSIDE, PATCH_PX
from pipeline.curation.similarity import Pairs, prepare, similarities

FRAME = np.eye(2, 3, dtype=np.float32)


def picture(seed, side=4 * PATCH_PX):
    """A random picture with as much detail as a face has, 1 to 255."""
    noise = np.random.default_rng(seed).normal(size=(14, 14)).astype(np.float32)
    large = cv2.resize(noise, (side, side), interpolation=cv2.INTER_CUBIC)
    return np.clip(128 + 40 * large, 1, 255).astype(np.float32)


def patch(pixels, motion=None):
    """The patch of a picture, which is moved by `motion` (2, 3) in patch px before."""
    if motion is not None:
        scale = pixels.shape[0] / PATCH_PX
        full = np.asarray(motion, np.float64) * [1, 1, scale]
        pixels = cv2.warpAffine(pixels, full, pixels.shape[::-1], borderValue=OUTSIDE)
    small = cv2.resize(pixels, (PATCH_PX, PATCH_PX), interpolation=cv2.INTER_AREA)
    return np.clip(small.round(), 0, 255).astype(np.uint8)


def similarity(one, other, frames=(FRAME, FRAME), one_photo=False):
    prepared = prepare(np.stack([one, other]), np.stack(frames))
    return float(similarities(prepared, Pairs(np.array([0]), np.array([1]), np.array([one_photo])))[0])


def turned(degrees):
    return cv2.getRotationMatrix2D((PATCH_PX / 2, PATCH_PX / 2), degrees, 1.0)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "changed",
    [
        lambda p: patch(p),
        lambda p: patch(np.clip(1.3 * p - 40, 1, 255)),
        lambda p: patch(p)[:, ::-1],
        lambda p: patch(p, [[1, 0, 1.5], [0, 1, -1]]),
        lambda p: patch(p, [[1.05, 0, -1], [0, 1.05, -1]]),
        lambda p: patch(p, turned(3)),
        lambda p: patch(cv2.GaussianBlur(p, (0, 0), 3)),
    ],
    ids=["itself", "contrast", "mirrored", "shifted", "scaled", "turned", "blurred"],
)
def test_a_changed_copy_is_similar(seed, changed):
    one = picture(seed)
    assert similarity(patch(one), np.ascontiguousarray(changed(one))) > 0.8


@pytest.mark.parametrize("seed", range(20))
def test_different_pictures_are_not_similar(seed):
    assert similarity(patch(picture(seed)), patch(picture(seed + 100))) < 0.6


def test_faces_that_share_only_their_lower_part_are_not_similar():
    one, other = patch(picture(1)), patch(picture(2))
    other[ABOVE_MASK_ROWS - 4 :] = one[ABOVE_MASK_ROWS - 4 :]
    assert similarity(one, other) < 0.6


def test_faces_that_share_only_their_part_above_a_mask_are_not_similar():
    one, other = patch(picture(1)), patch(picture(2))
    other[:ABOVE_MASK_ROWS] = one[:ABOVE_MASK_ROWS]
    assert similarity(one, other) < 0.75


def test_what_lies_outside_one_photo_does_not_count():
    one = patch(picture(3))
    cropped = one.copy()
    cropped[:, :12] = OUTSIDE
    assert similarity(one, cropped) > 0.95


def test_copies_whose_landmarks_differ_are_aligned_by_their_whole_photos():
    wrong = np.array([[0.8, 0, 0.12], [0, 0.8, 0.06]], np.float32)  # this copy's frame, from shares of the photo
    one = picture(4)
    other = patch(one, wrong * [1, 1, PATCH_PX])
    assert similarity(patch(one), other, (FRAME, wrong)) < 0.5
    assert similarity(patch(one), other, (FRAME, wrong), one_photo=True) > 0.8


def test_no_pairs_have_no_similarities():
    empty = np.empty(0, np.int64)
    prepared = prepare(patch(picture(0))[None], FRAME[None])
    assert len(similarities(prepared, Pairs(empty, empty, np.empty(0, np.bool_)))) == 0


def test_plain_patches_do_not_divide_by_zero():
    plain = np.full((PATCH_PX, PATCH_PX), 128, np.uint8)
    assert similarity(plain, plain) <= 1


def test_many_pairs_at_once_have_the_similarities_of_single_ones(monkeypatch):
    monkeypatch.setattr(module, "_PAIRS", 5)
    monkeypatch.setattr(module, "_PATCHES", 3)
    wrong = np.array([[0.8, 0, 0.12], [0, 0.8, 0.06]], np.float32)
    one, framed = picture(1), picture(2)
    cropped = patch(picture(3))
    cropped[:, :12] = OUTSIDE
    patches = [patch(one), patch(one, turned(3)), patch(one)[:, ::-1], patch(framed), patch(picture(3)), cropped]
    patches.append(patch(framed, wrong * [1, 1, PATCH_PX]))
    frames = [FRAME] * 6 + [wrong]
    first, second = np.triu_indices(7, 1)
    pairs = Pairs(first, second, np.ones(len(first), np.bool_))
    together = similarities(prepare(np.stack(patches), np.stack(frames)), pairs)
    alone = [
        similarity(patches[i], patches[j], (frames[i], frames[j]), True) for i, j in zip(first, second, strict=True)
    ]
    assert together == pytest.approx(alone, abs=1e-5)
    assert {(0, 1), (0, 2), (1, 2), (3, 6), (4, 5)} == {
        (i, j) for i, j, value in zip(first.tolist(), second.tolist(), together, strict=True) if value > 0.77
    }


def test_pairs_that_their_photos_do_not_align_are_not_registered(monkeypatch):
    registered = []
    monkeypatch.setattr(module, "_registered", lambda prepared, pair, start: registered.append(pair) or 0.0)
    wrong = np.array([[0.8, 0, 0.12], [0, 0.8, 0.06]], np.float32)
    patches = [patch(picture(4)), patch(picture(4), wrong * [1, 1, PATCH_PX]), patch(picture(5))]
    prepared = prepare(np.stack(patches), np.stack([FRAME, wrong, FRAME]))
    similarities(prepared, Pairs(np.array([0, 0, 1]), np.array([1, 2, 2]), np.ones(3, np.bool_)))
    assert registered == [(0, 1)]
