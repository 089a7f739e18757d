"""Bootstrap intervals (Efron and Tibshirani 1993, chapter 13: percentiles) over persons.

Pictures of one person are not independent, so whole persons are drawn, with all their pictures.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

_RESAMPLES = 1000
_PERCENTILES = (2.5, 97.5)  # a 95 % interval


def persons_of(ffhq_ids: Sequence[int | None]) -> NDArray[np.int64]:
    """A number for each picture, (N,): equal for pictures of one person; a picture without an id is a person."""
    numbers: dict[object, int] = {}
    keys = (("picture", place) if known is None else known for place, known in enumerate(ffhq_ids))
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)


def resamples(persons: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """How often each picture is drawn, (N,), in each of 1,000 draws of as many persons as there are, with repeats."""
    rng = np.random.default_rng(0)
    found, places = np.unique(persons, return_inverse=True)
    for _ in range(_RESAMPLES):
        drawn = rng.integers(0, len(found), len(found))
        yield np.bincount(drawn, minlength=len(found))[places]


def percentile_interval(statistics: Sequence[float]) -> list[float]:
    """The 95 % interval, [low, high], of a statistic, out of its values in resamples."""
    return [float(bound) for bound in np.percentile(statistics, _PERCENTILES)]


def interval_of_mean(values: Sequence[float], persons: NDArray[np.int64]) -> list[float]:
    """The 95 % interval of the mean of values, one for each picture."""
    return percentile_interval([float(np.average(values, weights=counts)) for counts in resamples(persons)])
