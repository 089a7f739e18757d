"""Values that are known in a part of a picture, continued smoothly into the rest of it."""

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.masks.records import FloatImage


def continued(values: FloatImage, known: FloatImage) -> FloatImage:
    """Values (H, W, C), with those where `known` (H, W) is 0 replaced by a smooth continuation of the others.

    `known` between 0 and 1 is a weight: such values are mixed with what is around. Pull and push (Gortler et al. 1996,
    The lumigraph, section 3.3): averages of the known values at ever coarser scales fill what is unknown at the finer
    ones. Where nothing is known the result is 0.
    """
    levels, total, weight = [], values * known[..., None], known
    while True:
        levels.append((total, weight))
        if min(weight.shape) <= 2:
            break
        pulled, mean = cv2.pyrDown(total).reshape(*_halved(weight), -1), cv2.pyrDown(weight)
        full = np.minimum(1, 2 * mean)
        total = pulled * (full / np.maximum(mean, 1e-6))[..., None]
        weight = full
    total, weight = levels.pop()
    out = total / np.maximum(weight, 1e-6)[..., None]
    for total, weight in reversed(levels):
        pushed = cv2.pyrUp(out, dstsize=weight.shape[::-1]).reshape(total.shape)
        out = total + (1 - weight[..., None]) * pushed
    return np.asarray(out, np.float32)


def _halved(values: FloatImage) -> tuple[int, int]:
    """The size of a picture's next coarser scale: half, rounded up."""
    height, width = values.shape
    return (height + 1) // 2, (width + 1) // 2


def distance_from(area: NDArray[np.bool_]) -> FloatImage:
    """The distance of each pixel (H, W) from an area, px; very large where the area is empty."""
    return np.asarray(cv2.distanceTransform(np.asarray(~area, np.uint8), cv2.DIST_L2, 5), np.float32)
