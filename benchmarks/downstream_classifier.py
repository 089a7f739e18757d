"""The classifier of benchmarks/downstream, "is this mask worn correctly?": logistic regression on features of faces."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.downstream_faces import CORRECT
from models.evaluation.logistic_regression import Floats, class_shares, fit_logistic_regression

STRENGTHS = (0.001, 0.01, 0.1, 1.0)
"""Weights of the penalty among which cross-validation chooses."""
_FOLDS = 3

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Examples:
    """N faces as the classifier sees them."""

    features: Floats  # (N, d)
    kinds: NDArray[np.str_]  # (N,)
    persons: NDArray[np.int64]  # (N,) equal for pictures of one person

    def __len__(self) -> int:
        return len(self.kinds)

    def at(self, places: NDArray[np.int64] | Flags) -> "Examples":
        """The faces at `places`."""
        return Examples(self.features[places], self.kinds[places], self.persons[places])

    @property
    def correct(self) -> Flags:
        """Whether the mask is worn correctly, (N,)."""
        return np.asarray(self.kinds == CORRECT)


@dataclass(frozen=True)
class Classifier:
    """A face with a score above 0 wears its mask correctly."""

    centre: Floats  # (d,)
    spread: Floats  # (d,)
    weights: Floats  # (d,)
    bias: float

    def scores(self, features: Floats) -> Floats:
        """(N, d) -> (N,)."""
        return np.asarray((features - self.centre) / self.spread @ self.weights + self.bias)


def joined(*sets: Examples) -> Examples:
    """All faces of the sets."""
    return Examples(
        np.concatenate([examples.features for examples in sets]),
        np.concatenate([examples.kinds for examples in sets]),
        np.concatenate([examples.persons for examples in sets]),
    )


def fit(examples: Examples, strengths: tuple[float, ...]) -> list[Classifier]:
    """A classifier for each strength of the penalty. Both classes weigh the same, however many faces they have.

    Of fewer faces than features, the coefficients are a sum of the faces' features: they are sought among these.
    """
    centre, spread = examples.features.mean(axis=0), examples.features.std(axis=0) + 1e-6
    values = (examples.features - centre) / spread
    lengths, directions = np.linalg.eigh(values @ values.T / values.shape[1])
    kept = lengths > 1e-9 * lengths[-1]
    to_weights = values.T @ (directions[:, kept] / np.sqrt(lengths[kept])) / values.shape[1]
    inputs = values @ to_weights
    found = []
    for strength in strengths:
        at = fit_logistic_regression(inputs, examples.correct, strength)
        found.append(Classifier(centre, spread, to_weights @ at[:-1], float(at[-1])))
    return found


def train(real: Examples, added: Examples | None, seed: int) -> Classifier:
    """The classifier of the strength that does best on real faces of persons that were left out.

    Where no real face wears a mask, it is the one that does best on real and added faces. Raises no error for a class
    that is missing: the caller gives both.
    """
    everything = real if added is None else joined(real, added)
    judged = real if real.correct.any() else everything
    fold_of = _folds(everything.persons, seed)
    losses = np.zeros(len(STRENGTHS))
    for fold in range(_FOLDS):
        left_out = judged.at(np.isin(judged.persons, fold_of[fold]))
        if len(np.unique(left_out.correct)) < 2:
            continue
        shown = everything.at(~np.isin(everything.persons, fold_of[fold]))
        losses += [_loss(classifier, left_out) for classifier in fit(shown, STRENGTHS)]
    return fit(everything, (STRENGTHS[int(losses.argmin())],))[0]


def _folds(persons: NDArray[np.int64], seed: int) -> list[NDArray[np.int64]]:
    return np.array_split(np.random.default_rng(seed).permutation(np.unique(persons)), _FOLDS)


def _loss(classifier: Classifier, examples: Examples) -> float:
    signs = np.where(examples.correct, 1.0, -1.0)
    losses = np.logaddexp(0, -signs * classifier.scores(examples.features))
    return float(class_shares(examples.correct) @ losses)
