"""A face's landmarks as data: their number, and the bytes that measured tables hold (column `landmarks`)."""

import numpy as np
from numpy.typing import NDArray

LANDMARKS = 478
"""Points of MediaPipe's face mesh, the ten of the irises included."""

LANDMARK_SCALE = 1 / 16384
"""Stored landmarks are int16 counts of this share of the image's width or height: 0.06 px of 1024."""


def encode_landmarks(points: NDArray[np.float32]) -> bytes:
    """Landmarks (478, 2) as shares of width and height -> 478 x (x, y) int16, little-endian; clipped to -2 and 2."""
    return (points / LANDMARK_SCALE).round().clip(-32768, 32767).astype("<i2").tobytes()


def decode_counts(content: bytes) -> NDArray[np.int16]:
    """The stored landmarks (478, 2) as int16 counts of LANDMARK_SCALE."""
    return np.frombuffer(content, "<i2").reshape(-1, 2)


def decode_landmarks(content: bytes) -> NDArray[np.float32]:
    """The stored landmarks (478, 2) as shares of the image's width and height."""
    return (decode_counts(content) * LANDMARK_SCALE).astype(np.float32)
