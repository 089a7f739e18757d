"""The two-sample test: equal distributions cannot be told apart, others can, and no person is in two folds."""

import numpy as np
import pytest

from models.evaluation import two_sample as module
from models.evaluation.bootstrap import interval_of_mean, persons_of
from models.evaluation.face_images import FaceImages, lower_face_crops
from models.evaluation.features import feature_network
from models.evaluation.logistic_regression import fit_logistic_regression
from models.evaluation.two_sample import FEATURES, MIN_PERSONS, compare_faces, two_sample_test

needs_features = pytest.mark.skipif(feature_network(FEATURES) is None, reason="the extra `evaluation` is not installed")


def two_sets(distance, count=60, seed=0):
    """Features of `count` fakes, then as many real faces, whose means differ by `distance` in one of ten."""
    values = np.random.default_rng(seed).normal(size=(2 * count, 10))
    values[count:, 0] += distance
    return values, np.arange(2 * count) >= count, np.arange(2 * count)


def faces(count, seed=0, shade=0, ids=None):
    images = np.random.default_rng(seed).integers(0, 100, (count, 16, 16, 3), np.uint8) + np.uint8(shade)
    regions = np.zeros((count, 16, 16), np.uint8)
    regions[:, 8:14, 4:12] = 1
    return FaceImages(images, regions, [None] * count if ids is None else ids)


def test_two_samples_of_one_distribution_cannot_be_told_apart():
    found = [two_sample_test(*two_sets(0, seed=seed)) for seed in range(6)]
    assert np.mean([one.auc for one in found]) == pytest.approx(0.5, abs=0.05)
    assert np.mean([one.dprime for one in found]) == pytest.approx(0, abs=0.2)
    assert found[0].auc_interval[0] < found[0].auc < found[0].auc_interval[1]


def test_the_auc_rises_with_the_distance_and_dprime_goes_on_where_the_auc_is_1():
    near, far, farther = (two_sample_test(*two_sets(distance)) for distance in (1, 8, 16))
    assert 0.6 < near.auc < 0.85  # Gaussians one standard deviation apart: at best 0.76
    assert far.auc == farther.auc == 1
    assert near.dprime < far.dprime < farther.dprime


def test_the_same_pictures_give_the_same_figures():
    assert two_sample_test(*two_sets(1)) == two_sample_test(*two_sets(1))


def test_pictures_of_one_person_are_never_learned_from_and_scored(monkeypatch):
    values, is_real, _ = two_sets(0)
    persons = np.tile(np.arange(60), 2)  # every person both real and fake
    fitted, values[:, 0] = [], persons

    def fit(values, is_real, penalty):
        fitted.append(len(values))
        return fit_logistic_regression(values, is_real, penalty)

    monkeypatch.setattr(module, "fit_logistic_regression", fit)
    for fold in np.unique(folds := module._fold_of(is_real, persons, np.random.default_rng(0))):
        assert set(persons[folds == fold]).isdisjoint(persons[folds != fold])
    two_sample_test(values, is_real, persons)
    assert set(fitted) == {96}


def test_a_person_known_by_hair_and_background_does_not_make_the_auc_fall_below_half():
    """With one half of a person in training, a classifier takes the other half for the same class: far below 0.5."""
    rng = np.random.default_rng(0)
    of_person = rng.normal(size=(60, 200))
    values = np.concatenate([of_person, of_person]) + rng.normal(scale=0.1, size=(120, 200))
    is_real = np.arange(120) >= 60
    assert two_sample_test(values, is_real, np.tile(np.arange(60), 2)).auc == pytest.approx(0.5, abs=0.12)


def test_both_classes_weigh_the_same_in_the_regression():
    values = np.array([[-1.0], [1.0]])
    even = fit_logistic_regression(values, np.array([False, True]), 0.01)
    uneven = fit_logistic_regression(np.repeat(values, [9, 1], axis=0), np.array([False] * 9 + [True]), 0.01)
    assert uneven == pytest.approx(even, abs=1e-4)


def test_the_crop_is_the_dilated_region_and_a_face_without_one_is_taken_whole():
    given = faces(2)
    given.regions[1] = 0
    given.images[0, :7], given.images[0, 15:], given.images[0, :, :3], given.images[0, :, 13:] = 255, 255, 255, 255
    given.images[1] = 0
    given.images[1, 0] = 255
    crops = lower_face_crops(given, 16)
    assert crops[0].max() < 110
    assert crops[1, 0].min() == 255


@needs_features
def test_brighter_faces_are_told_from_others_and_faces_like_them_are_not():
    brighter, like = (compare_faces(faces(MIN_PERSONS, 1, shade), faces(MIN_PERSONS, 2)) for shade in (120, 0))
    assert brighter.auc > 0.95
    assert 0.2 < like.auc < 0.8


@needs_features
def test_too_few_persons_give_none():
    assert compare_faces(faces(MIN_PERSONS - 1), faces(MIN_PERSONS)) is None
    assert compare_faces(faces(MIN_PERSONS, ids=[7] * MIN_PERSONS), faces(MIN_PERSONS)) is None


def test_without_the_extra_evaluation_there_is_no_test(monkeypatch):
    monkeypatch.setattr(module, "feature_network", lambda _name: None)
    assert compare_faces(faces(MIN_PERSONS), faces(MIN_PERSONS)) is None


def test_pictures_without_an_id_are_persons_of_their_own():
    assert persons_of([5, None, 5, None, 7]).tolist() == [0, 1, 0, 2, 3]


def test_pictures_of_one_person_count_as_one_in_an_interval():
    values = np.random.default_rng(0).normal(size=40).tolist()
    low, high = interval_of_mean(values * 4, np.tile(np.arange(40), 4))
    alone_low, alone_high = interval_of_mean(values * 4, np.arange(160))
    assert high - low > 1.5 * (alone_high - alone_low)
