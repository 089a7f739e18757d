"""Inputs of the mask renderer: an unmasked face, and a mask design, which is a mask drawn flat; array types."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

ByteImage = NDArray[np.uint8]  # (H, W, 3) RGB
FloatImage = NDArray[np.float32]  # (H, W) 0-1, or (H, W, C) with RGB 0-255
Points = NDArray[np.float64]  # (N, 2): right and down

Straps = Literal["loops", "bands", "none"]
"""Around the ears, around the head, or not visible."""

HEIGHT, WIDTH = 288, 416
"""Size of a random design, px; the named ones are drawn at any size of this shape."""


@dataclass(frozen=True)
class UnmaskedFace:
    """A picture of a face without a mask."""

    image: ByteImage  # (H, W, 3)
    landmarks: NDArray[np.float32]  # (478, 2) shares of width and height


def cut_face(image: ByteImage, points: NDArray[np.floating[Any]], box: tuple[int, int, int, int]) -> UnmaskedFace:
    """Return the part left, top, right, bottom of a picture (H, W, 3) whose landmarks `points` (478, 2) are in px."""
    left, top, right, bottom = box
    shares = (points - (left, top)) / (right - left, bottom - top)
    return UnmaskedFace(np.ascontiguousarray(image[top:bottom, left:right]), shares.astype(np.float32))


@dataclass(frozen=True)
class MaskDesign:
    """One mask, flat. The renderer accepts a drawing of any size."""

    drawing: FloatImage  # (H, W, 4): RGB 0-255, alpha 0-1
    straps: Straps
    strap_colour: FloatImage  # (3,) RGB 0-255
