"""Fixtures of pipeline's tests."""

import numpy as np
import pytest

from pipeline.masks.records import UnmaskedFace
from pipeline.synthetic.portraits import load_portraits
from pipeline.synthetic.variations import draw_variation, render


@pytest.fixture(scope="session")
def rendered_faces() -> list[UnmaskedFace]:
    """Four synthetic faces without masks, 256 px."""
    portraits, faces = load_portraits(256), []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        faces.append(render(portraits, draw_variation(rng, 2), rng, 256))
    return faces
