"""The disc by which areas are widened, narrowed and smoothed."""

import cv2
import numpy as np
from numpy.typing import NDArray


def disc(radius: int) -> NDArray[np.uint8]:
    """A structuring element for OpenCV's morphology, (2 r + 1, 2 r + 1) of 0 and 1, with r = radius but at least 1."""
    side = 2 * max(1, radius) + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), np.uint8)
