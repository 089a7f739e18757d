"""Sharpness, SSIM, and metrics against the true face."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from models.evaluation import true_faces as module
from models.evaluation.face_images import FaceImages
from models.evaluation.metrics import sharpness, ssim
from models.evaluation.realism import sharpness_ratio, with_realism, with_truth
from models.evaluation.true_faces import true_face_metrics, twin_places
from models.evaluation_report import DirectionMetrics

SIDE = 48


def noise(count=1, seed=0):
    return np.random.default_rng(seed).integers(60, 196, (count, SIDE, SIDE, 3), np.uint8)


def faces(images, ids=None):
    regions = np.zeros(images.shape[:3], np.uint8)
    regions[:, 20:40, 12:36] = 1
    return FaceImages(images, regions, list(range(len(images))) if ids is None else ids)


def with_lower_face(images, lower):
    out = images.copy()
    out[:, 20:40, 12:36] = lower[:, 20:40, 12:36]
    return out


@pytest.fixture
def pair(monkeypatch):
    """Photos that differ from the true faces in the region only; every identity distance is 0.25."""
    monkeypatch.setattr(module, "identity_distances", lambda before, after: [0.25] * len(before))
    truths = noise(3)
    return faces(with_lower_face(truths, noise(3, seed=1))), faces(truths)


def tensor(images):
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1


def test_ssim_equals_scikit_images_with_the_papers_window():
    metrics = pytest.importorskip("skimage.metrics", reason="the extra `sample` is not installed")
    one, other = (tensor(noise(seed=seed))[0] for seed in (0, 1))
    other = 0.7 * one + 0.3 * other
    luma = [np.tensordot([0.299, 0.587, 0.114], image.numpy(), 1) for image in (one, other)]
    settings = {"win_size": 11, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    _, expected = metrics.structural_similarity(*luma, data_range=2, full=True, **settings)
    inside = torch.zeros(1, 1, SIDE, SIDE)
    inside[..., 8:40, 8:30] = 1
    assert ssim(one[None], other[None], inside).item() == pytest.approx(expected[8:40, 8:30].mean(), abs=1e-5)


def test_half_the_contrast_is_half_the_sharpness_and_blur_is_less():
    images, everywhere = tensor(noise()), torch.ones(1, 1, SIDE, SIDE)
    sharp = sharpness(images, everywhere)
    assert sharpness(images / 2, everywhere).item() == pytest.approx(sharp.item() / 2)
    assert sharpness(torch.nn.functional.avg_pool2d(images, 3, 1, 1), everywhere) < sharp / 2


def test_sharpness_outside_the_mask_does_not_count():
    image = torch.zeros(1, 3, 8, 8)
    image[..., 6] = 1
    left = torch.zeros(1, 1, 8, 8)
    left[..., :5] = 1
    assert sharpness(image, left).item() == 0


def test_the_sharpness_ratio_compares_eroded_regions_and_leaves_out_faces_without_one():
    reals = faces(noise(3))
    half = (128 + (reals.images.astype(float) - 128) / 2).round().astype(np.uint8)
    fakes = faces(with_lower_face(noise(3, seed=5), half))
    fakes.regions[0] = 0
    assert sharpness_ratio(fakes, reals) == pytest.approx(0.5, abs=0.03)
    fakes.regions[:] = 0
    assert sharpness_ratio(fakes, reals) is None


def test_twins_are_faces_of_one_ffhq_id_and_an_unknown_id_has_none():
    assert twin_places([4, None, 9, 4], [None, 9, 4, 4]) == [(0, 2), (2, 1), (3, 2)]


def test_the_true_face_itself_has_no_error(pair):
    photos, truths = pair
    found = true_face_metrics(truths, photos, truths)
    assert (found.pairs, found.psnr_db.mean) == (3, pytest.approx(100))
    assert found.ssim.mean == pytest.approx(1)


def test_only_the_region_of_the_true_face_counts(pair):
    photos, truths = pair
    elsewhere = faces(with_lower_face(noise(3, seed=7), truths.images))
    assert true_face_metrics(elsewhere, photos, truths).psnr_db.mean == pytest.approx(100)
    assert true_face_metrics(photos, photos, truths).psnr_db.mean < 20


def test_a_photo_in_another_frame_is_no_pair(pair):
    photos, truths = pair
    photos.images[1] = np.roll(photos.images[1], 2, axis=1)
    assert true_face_metrics(truths, photos, truths).pairs == 2
    photos.images[:] = np.roll(photos.images, 3, axis=1)
    assert true_face_metrics(truths, photos, truths) is None


def test_the_record_has_means_with_their_intervals(pair):
    photos, truths = pair
    fakes = replace(truths, images=truths.images.copy())
    fakes.images[1] = photos.images[1]
    metrics = with_truth(DirectionMetrics(kid=0.5), fakes, photos, truths)
    assert (metrics.kid, metrics.true_pairs, metrics.true_identity_distance) == (0.5, 3, 0.25)
    assert metrics.true_psnr_db_interval[0] < metrics.true_psnr_db < metrics.true_psnr_db_interval[1]
    assert metrics.true_ssim_interval[0] < metrics.true_ssim < metrics.true_ssim_interval[1]


def test_without_a_face_recogniser_there_is_no_true_identity_distance(pair, monkeypatch):
    monkeypatch.setattr(module, "identity_distances", lambda _before, _after: None)
    photos, truths = pair
    found = with_truth(DirectionMetrics(), photos, photos, truths).measured()
    assert "true_psnr_db" in found
    assert not any("identity" in name for name in found)


def test_without_pairs_nothing_is_added(pair):
    _, truths = pair
    assert with_truth(DirectionMetrics(), truths, faces(noise(3, seed=9)), truths) == DirectionMetrics()


def test_few_faces_have_a_sharpness_and_no_two_sample_test():
    found = with_realism(DirectionMetrics(), faces(noise(3, seed=1)), faces(noise(3))).measured()
    assert list(found) == ["sharpness_ratio"]
