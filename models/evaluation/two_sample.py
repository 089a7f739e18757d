"""Classifier two-sample test: how well a classifier separates real pictures from fakes of unseen persons.

Lopez-Paz and Oquab 2017, "Revisiting Classifier Two-Sample Tests" (arXiv 1610.06545), with the area under the ROC curve
in place of the accuracy, since the sets differ in size. The classifier is a logistic regression on features of a
network that is not KID's, of the lower face alone: the rest of a fake is a real photo. d': Green and Swets 1966.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.evaluation.bootstrap import percentile_interval, persons_of, resamples
from models.evaluation.face_images import FaceImages, lower_face_crops
from models.evaluation.features import SIDES, NetworkName, feature_network, features
from models.evaluation.logistic_regression import Floats, fit_logistic_regression

FEATURES: NetworkName = "efficientnet-lite1"
FOLDS, REPEATS = 5, 4  # of the cross-validation; repeated with other folds, since few faces depend on them
MIN_PERSONS = 20  # in each set: every fold needs two real and two fake ones at least

_PENALTY = 0.01  # of the classifier


@dataclass(frozen=True)
class TwoSampleTest:
    """How well real pictures and fakes are told apart."""

    auc: float  # area under the ROC curve: 0.5 if they cannot be told apart, 1 if they always can
    auc_interval: list[float]  # 95 %, [low, high]
    dprime: float  # distance of the two means of the scores in their standard deviations: grows on where the AUC is 1


@dataclass(frozen=True)
class _Fold:
    """The pictures of one fold, scored by a classifier that was fitted to the others."""

    reals: NDArray[np.int64]  # (R,) places
    fakes: NDArray[np.int64]  # (F,) places
    scores: Floats  # (N,) of all pictures

    def wins(self) -> Floats:
        """(R, F): 1 where the real picture has the higher score, 0.5 where both are equal, else 0."""
        return (np.sign(self.scores[self.reals][:, None] - self.scores[self.fakes]) + 1) / 2


def compare_faces(fakes: FaceImages, reals: FaceImages) -> TwoSampleTest | None:
    """The test of fakes against real faces, cross-validated over persons.

    None for fewer than MIN_PERSONS in a set, or without the packages of the extra `evaluation`.
    """
    persons = persons_of([*fakes.ffhq_ids, *reals.ffhq_ids])
    is_real = np.arange(len(persons)) >= len(fakes)
    if min(len(np.unique(persons[is_real])), len(np.unique(persons[~is_real]))) < MIN_PERSONS:
        return None
    if feature_network(FEATURES) is None:
        return None
    crops = (lower_face_crops(faces, SIDES[FEATURES]) for faces in (fakes, reals))
    values = np.concatenate([features(images, FEATURES).double().numpy() for images in crops])
    return two_sample_test(values, is_real, persons)


def two_sample_test(values: Floats, is_real: NDArray[np.bool_], persons: NDArray[np.int64]) -> TwoSampleTest:
    """The test on features (N, d); persons (N,) are numbered from 0. Only pictures of one fold are compared.

    All pictures of a person are in one fold: a fake and a real picture of one person share a face, by which a
    classifier that has seen one of them would mistake the other. The interval is over persons, for the classifiers as
    they were fitted.
    """
    rng = np.random.default_rng(0)
    folds = [fold for _ in range(REPEATS) for fold in _scored_folds(values, is_real, _fold_of(is_real, persons, rng))]
    compared = [(fold.reals, fold.fakes, fold.wins()) for fold in folds]

    def auc(counts: NDArray[np.int64]) -> float:
        won = sum(float(counts[reals] @ wins @ counts[fakes]) for reals, fakes, wins in compared)
        pairs = sum(int(counts[reals].sum() * counts[fakes].sum()) for reals, fakes, _ in compared)
        return won / pairs if pairs else 0.5

    interval = percentile_interval([auc(counts) for counts in resamples(persons)])
    return TwoSampleTest(auc(np.ones(len(persons), np.int64)), interval, _dprime(folds))


def _dprime(folds: list[_Fold]) -> float:
    """The mean over folds of the difference of the mean real and fake scores, in units of their standard deviation."""

    def of_fold(fold: _Fold) -> float:
        reals, fakes = fold.scores[fold.reals], fold.scores[fold.fakes]
        spread = np.sqrt((reals.var(ddof=1) + fakes.var(ddof=1)) / 2)
        return float((reals.mean() - fakes.mean()) / (spread + 1e-6))  # of equal pictures the spread is 0

    return float(np.mean([of_fold(fold) for fold in folds]))


def _fold_of(is_real: NDArray[np.bool_], persons: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """The fold of each picture: random, but with as many persons who are real, fake, or both in each."""
    shuffled = rng.permutation(np.unique(persons))
    has_real, has_fake = np.isin(shuffled, persons[is_real]), np.isin(shuffled, persons[~is_real])
    in_order = shuffled[np.lexsort((has_fake, has_real))]
    fold_of_person = np.empty(len(in_order), np.int64)
    fold_of_person[in_order] = np.arange(len(in_order)) % FOLDS
    return fold_of_person[persons]


def _scored_folds(values: Floats, is_real: NDArray[np.bool_], fold_of: NDArray[np.int64]) -> Iterator[_Fold]:
    for fold in range(FOLDS):
        here = fold_of == fold
        centre, spread = values[~here].mean(axis=0), values[~here].std(axis=0) + 1e-6
        weights = fit_logistic_regression((values[~here] - centre) / spread, is_real[~here], _PENALTY)[:-1]
        scores = ((values - centre) / spread) @ weights
        reals, fakes = np.nonzero(here & is_real)[0], np.nonzero(here & ~is_real)[0]
        yield _Fold(reals, fakes, scores)
