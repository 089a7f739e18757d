"""Smooth warps through point pairs: thin-plate splines, and pictures pulled through them."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Splines are evaluated on every 8th pixel and interpolated between: the fields are far smoother than that, and
# OpenCV's fixed-point interpolation (1/32) is exact at eighths.
_STEP = 8


@dataclass(frozen=True)
class Spline:
    """A thin-plate spline of the plane (Bookstein 1989), through the pairs it was fitted to."""

    centres: Floats  # (N, 2)
    weights: Floats  # (N + 3, 2): one for each centre, then constant, x and y

    def __call__(self, points: Floats) -> Floats:
        """(M, 2) -> (M, 2)."""
        flat = np.column_stack([np.ones(len(points)), points])
        return np.asarray(np.column_stack([_kernel(points, self.centres), flat]) @ self.weights)


def fit(source: Floats, target: Floats, stiffness: float = 0.0) -> Spline:
    """The spline that takes source (N, 2) to target (N, 2); a stiffness above 0 smooths instead of interpolating."""
    count = len(source)
    system = np.zeros((count + 3, count + 3))
    system[:count, :count] = _kernel(source, source) + stiffness * np.eye(count)
    system[:count, count:] = np.column_stack([np.ones(count), source])
    system[count:, :count] = system[:count, count:].T
    right = np.vstack([target, np.zeros((3, 2))])
    return Spline(source, np.asarray(np.linalg.solve(system, right), np.float64))


def _kernel(points: Floats, centres: Floats) -> Floats:
    across = points[:, :1] - centres[:, 0]
    down = points[:, 1:] - centres[:, 1]
    squared = across * across + down * down
    return np.asarray(squared * np.log(np.maximum(squared, 1e-12)))


def pixel_grid(height: int, width: int) -> tuple[Floats, tuple[int, int]]:
    """The coarse grid over a picture: its points (M, 2) in pixels, and its (rows, columns)."""
    across, down = np.arange(0, width + _STEP, _STEP), np.arange(0, height + _STEP, _STEP)
    x, y = np.meshgrid(across.astype(np.float64), down.astype(np.float64))
    return np.column_stack([x.ravel(), y.ravel()]), (len(down), len(across))


def dense_map(coarse: Floats, shape: tuple[int, int], height: int, width: int) -> NDArray[np.float32]:
    """Values at `pixel_grid`'s points (M, 2) -> (height, width, 2), as cv2.remap wants them."""
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
