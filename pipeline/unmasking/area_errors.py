"""Errors of a mask's area, like those of areas found in photos: for training with drawn masks."""

import cv2
import numpy as np
from numpy.typing import NDArray

_SOFTEST, _LEVELS = 0.02, (0.3, 0.7)  # blur as a share of the side, at most, and the level of the edge
_SHARP = 0.3  # px of blur that make no difference


def with_errors(area: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.bool_]:
    """An area (H, W), 0-255, as inexact as one found in a photo: with rounded corners, too large or too small."""
    sigma, level = rng.uniform(0, _SOFTEST) * area.shape[0], rng.uniform(*_LEVELS)
    soft = area if sigma < _SHARP else cv2.GaussianBlur(area, (0, 0), sigma)
    return np.asarray(soft > 255 * level)
