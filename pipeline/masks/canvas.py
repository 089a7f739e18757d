"""What flat designs are drawn with: the mask coordinates of every pixel, and soft lines and steps in them."""

import numpy as np

from pipeline.masks.records import HEIGHT, WIDTH, FloatImage


def mask_coordinates(height: int, width: int) -> tuple[FloatImage, FloatImage]:
    """Mask coordinates of a drawing's pixels, each (height, width): -1 to 1 across, 0 to 1 down."""
    across, down = np.meshgrid(np.linspace(-1, 1, width, dtype=np.float32), np.linspace(0, 1, height, dtype=np.float32))
    across.flags.writeable = down.flags.writeable = False
    return across, down


ACROSS, DOWN = mask_coordinates(HEIGHT, WIDTH)
"""Those of a random design."""


def soft_line(values: FloatImage, centre: float | FloatImage, sigma: float) -> FloatImage:
    """Return 1 where values == centre, falling to 0 as a Gaussian."""
    return np.asarray(np.exp(-0.5 * ((values - centre) / sigma) ** 2), np.float32)


def soft_step(values: FloatImage, centre: float | FloatImage, scale: float) -> FloatImage:
    """Return 0 below centre and 1 above, as a logistic function; 1 below and 0 above for a negative scale."""
    return np.asarray(1 / (1 + np.exp(-np.clip((values - centre) / scale, -30, 30))), np.float32)
