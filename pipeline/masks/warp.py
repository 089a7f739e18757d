"""Smooth warps through point pairs: thin-plate splines, and images resampled along them."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator

Floats = NDArray[np.float64]

Spline = Callable[[Floats], Floats]
"""A thin-plate spline of the plane (Bookstein 1989): points (M, 2) -> points (M, 2)."""

# Splines are evaluated on every 8th pixel and interpolated between: the fields are far smoother than that, and
# OpenCV's fixed-point interpolation (1/32) is exact at eighths.
_STEP = 8
# Points evaluated at once. Beyond some 1,700, OpenBLAS gives scipy's matrix product to threads, which costs more than
# it saves: on a busy machine with two cores, the sample then took 1.8 times the processor time.
_ROWS = 1024


def fit(source: Floats, target: Floats, smoothing: float = 0.0) -> Spline:
    """The spline that maps source (N, 2) to target (N, 2).

    At smoothing 0 it passes through every pair; above 0 it is smoother and misses them a little (scipy's meaning of
    the number).
    """
    whole = RBFInterpolator(source, target, smoothing=smoothing, kernel="thin_plate_spline")

    def spline(points: Floats) -> Floats:
        return np.concatenate([whole(points[start : start + _ROWS]) for start in range(0, len(points), _ROWS)])

    return spline


def pixel_grid(height: int, width: int) -> tuple[Floats, tuple[int, int]]:
    """The coarse grid over an image: its points (M, 2) in pixels, and its (rows, columns)."""
    across, down = np.arange(0, width + _STEP, _STEP), np.arange(0, height + _STEP, _STEP)
    x, y = np.meshgrid(across.astype(np.float64), down.astype(np.float64))
    return np.column_stack([x.ravel(), y.ravel()]), (len(down), len(across))


def dense_map(coarse: Floats, shape: tuple[int, int], height: int, width: int) -> NDArray[np.float32]:
    """Values at `pixel_grid`'s points (M, 2) -> (height, width, 2), as cv2.remap takes them."""
    field = coarse.reshape(*shape, 2).astype(np.float32)
    zoom = np.array([[1 / _STEP, 0, 0], [0, 1 / _STEP, 0]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    out = cv2.warpAffine(field, zoom, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(out, dtype=np.float32)


def pull(
    picture: NDArray[np.float32], field: NDArray[np.float32], border: int = cv2.BORDER_REFLECT_101
) -> NDArray[np.float32]:
    """Sample `picture` (H, W[, C]) at `field` (h, w, 2), in its pixels; bicubic."""
    across, down = np.ascontiguousarray(field[..., 0]), np.ascontiguousarray(field[..., 1])
    return np.asarray(cv2.remap(picture, across, down, cv2.INTER_CUBIC, borderMode=border), dtype=np.float32)
