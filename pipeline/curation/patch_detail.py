"""The detail of small grey pictures (a high-pass), and how well that of two pictures agrees."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

_MIN_SHARE = 0.25  # of a picture that both images must show

Floats = NDArray[np.float32]


def high_pass(grey: Floats, inside: Floats, sigma: float) -> Floats:
    """Detail of grey pictures (N, S, S): the difference to a Gaussian blur over the pixels inside the photo."""
    gaussian, full = _gaussian(grey.shape[-1], sigma)
    # Products of single pictures: BLAS computes small ones in the caller's thread.
    detail = grey - (gaussian @ (grey * inside) @ gaussian) / full
    partly = np.flatnonzero(~inside.all(axis=(1, 2)))  # few: FFHQ's photos fill their frame
    if len(partly):
        some = inside[partly]
        weights = np.maximum(gaussian @ some @ gaussian, 1e-3)
        detail[partly] = grey[partly] - (gaussian @ (grey[partly] * some) @ gaussian) / weights
    return np.multiply(detail, inside, out=detail)


@cache
def _gaussian(side: int, sigma: float) -> tuple[Floats, Floats]:
    """Two arrays (side, side): the symmetric matrix that blurs a picture if it is multiplied from both sides; its sums.

    The weights do not add up to 1: a blurred picture is to be divided by the second array.
    """
    positions = np.arange(side)
    matrix = np.array(np.exp(-((positions[:, None] - positions[None]) ** 2) / (2 * sigma**2)), np.float32)
    sums = matrix.sum(axis=0)
    return matrix, np.outer(sums, sums)


def correlations(first: Floats, second: Floats, inside: Floats) -> Floats:
    """Normalized cross-correlation of pictures (N, H, W) over the pixels `inside`; -1 where these are too few."""
    weights = inside.reshape(len(inside), -1)
    count = weights.sum(axis=1)
    a, b = (part.reshape(len(part), -1) * weights for part in (first, second))
    mean_a, mean_b = (part.sum(axis=1) / np.maximum(count, 1) for part in (a, b))
    covariance = np.einsum("ij,ij->i", a, b) - count * mean_a * mean_b
    variance_a, variance_b = (
        np.maximum(np.einsum("ij,ij->i", part, part) - count * mean**2, 1e-6)
        for part, mean in ((a, mean_a), (b, mean_b))
    )
    correlation = covariance / np.sqrt(variance_a * variance_b)
    return np.where(count >= _MIN_SHARE * weights.shape[1], correlation, -1).astype(np.float32)
