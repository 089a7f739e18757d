"""The canvas that flat designs are drawn on: mask coordinates of every pixel, at several resolutions."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from pipeline.masks.records import HEIGHT, WIDTH, FloatImage


@dataclass(frozen=True)
class Canvas:
    """A flat sheet of HEIGHT x WIDTH units, each of `scale` x `scale` px."""

    scale: int
    height: int  # px
    width: int
    across: FloatImage  # (height, width): -1 to 1
    down: FloatImage  # (height, width): 0 to 1


@lru_cache(maxsize=4)
def canvas_of(scale: int) -> Canvas:
    """Return the canvas of one scale. Designs give lengths in units, so that a design is the same at each scale."""
    height, width = scale * HEIGHT, scale * WIDTH
    across, down = np.meshgrid(np.linspace(-1, 1, width, dtype=np.float32), np.linspace(0, 1, height, dtype=np.float32))
    across.flags.writeable = down.flags.writeable = False
    return Canvas(scale, height, width, across, down)
