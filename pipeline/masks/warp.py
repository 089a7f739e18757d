"""Smooth warps defined by point pairs: thin-plate splines, and images resampled along them."""

from collections.abc import Callable
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator

from pipeline.masks.records import FloatImage, Points

_Number = TypeVar("_Number", np.uint8, np.float32)

Spline = Callable[[Points], Points]
"""A thin-plate spline of the plane (Bookstein 1989): points (M, 2) -> points (M, 2)."""

# Splines are evaluated at every 8th pixel and interpolated linearly between: the warps are far smoother than that, and
# OpenCV's fixed-point interpolation (1/32) is exact at eighths.
_STEP = 8
# Points evaluated in one call. Above about 1,700, OpenBLAS runs scipy's matrix product on several threads, which costs
# more than it saves: on a busy machine with two cores, the sample then took 1.8 times the processor time.
_ROWS = 1024


def fit_spline(source: Points, target: Points, smoothing: float = 0.0) -> Spline:
    """Return the spline that maps source (N, 2) to target (N, 2).

    At smoothing 0 it passes through every pair; above 0 it is smoother and misses them slightly (scipy's definition).
    """
    interpolate = RBFInterpolator(source, target, smoothing=smoothing, kernel="thin_plate_spline")

    def spline(points: Points) -> Points:
        return np.concatenate([interpolate(points[start : start + _ROWS]) for start in range(0, len(points), _ROWS)])

    return spline


def dense_map(spline: Spline, height: int, width: int) -> NDArray[np.float32]:
    """Evaluate a spline at every pixel: (height, width, 2), the format of cv2.remap."""
    across, down = np.arange(0, width + _STEP, _STEP), np.arange(0, height + _STEP, _STEP)
    x, y = np.meshgrid(across.astype(np.float64), down.astype(np.float64))
    coarse = spline(np.column_stack([x.ravel(), y.ravel()])).reshape(len(down), len(across), 2).astype(np.float32)
    zoom = np.array([[1 / _STEP, 0, 0], [0, 1 / _STEP, 0]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    dense = cv2.warpAffine(coarse, zoom, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(dense, dtype=np.float32)


def resample(image: FloatImage, positions: NDArray[np.float32], border: int) -> FloatImage:
    """Sample `image` (H, W[, C]) at positions (h, w, 2) in its px, bicubic. `border` is OpenCV's border mode."""
    across, down = np.ascontiguousarray(positions[..., 0]), np.ascontiguousarray(positions[..., 1])
    return np.asarray(cv2.remap(image, across, down, cv2.INTER_CUBIC, borderMode=border), dtype=np.float32)


def scaled(image: NDArray[_Number], side: int) -> NDArray[_Number]:
    """(H, W[, C]) -> (side, side[, C]), of the same type: means of pixels where it shrinks, else bilinear."""
    method = cv2.INTER_AREA if side < min(image.shape[:2]) else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (side, side), interpolation=method), image.dtype)
