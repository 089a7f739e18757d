"""Independent streams of random numbers for training, so that a resumed run draws the same ones without saved state."""

import numpy as np

from pipeline.storage.packed_arrays import DOMAINS

ORDER, AUGMENT, POOL, DRAW, PAIR, RELIGHT, LATENTS, AUGMENT_GENERATOR, QUARTER = range(9)
AUGMENT_DISCRIMINATOR = 9, 10  # of real images, and of made ones
"""Purposes of a stream. Each number is part of a seed: a change of it changes every training."""


def stream(seed: int, purpose: int, domain: str, position: int) -> np.random.Generator:
    """A new generator for one purpose at one position of a domain, a pure function of the arguments."""
    return np.random.default_rng([seed, purpose, DOMAINS.index(domain), position])
