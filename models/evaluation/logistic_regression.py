"""Logistic regression with an L2 penalty, in which both classes weigh the same, however many members they have."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

Floats = NDArray[np.float64]


def fit_logistic_regression(values: Floats, positive: NDArray[np.bool_], penalty: float) -> Floats:
    """The coefficients and the bias, (d + 1,), for features (N, d) and the class of each, (N,).

    `penalty` is the weight of half the squared length of the coefficients, beside the mean loss. The loss is convex:
    the result does not depend on a start.
    """
    signs, shares = np.where(positive, 1.0, -1.0), class_shares(positive)

    def loss_and_gradient(at: Floats) -> tuple[float, Floats]:
        weights, bias = at[:-1], at[-1]
        margins = signs * (values @ weights + bias)
        slopes = -shares * signs * expit(-margins)
        loss = float(shares @ np.logaddexp(0, -margins) + penalty / 2 * weights @ weights)
        return loss, np.append(values.T @ slopes + penalty * weights, slopes.sum())

    start = np.zeros(values.shape[1] + 1)
    return np.asarray(minimize(loss_and_gradient, start, jac=True, method="L-BFGS-B").x, np.float64)


def class_shares(positive: NDArray[np.bool_]) -> Floats:
    """Weights (N,) that give both classes one half."""
    return np.asarray(np.where(positive, 0.5 / max(1, positive.sum()), 0.5 / max(1, (~positive).sum())))
