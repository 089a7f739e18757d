"""Smooths a face's landmarks in time, without lag: the One-Euro filter, forwards and backwards.

The One-Euro filter (Casiez, Roussel and Vogel 2012) is a low-pass filter whose cutoff frequency grows with the speed:
a face at rest does not jitter, and a fast one is followed. What lag remains has the other sign backwards in time, so
that the mean of both ways has none.
"""

import numpy as np
from numpy.typing import NDArray

_MIN_CUTOFF_HZ = 0.5  # at rest
_BETA = 20.0  # Hz for a speed of one face height a second
_SPEED_CUTOFF_HZ = 3.0  # of the speed itself
_BEYOND_S = 0.5  # by which a clip is continued at both ends, where the filter has to start


def smooth_landmarks(points: NDArray[np.float32], fps: float) -> NDArray[np.float32]:
    """Smooth the landmarks (frames, 478, 2) of one face in consecutive frames, in any unit."""
    if len(points) < 3:
        return points
    unit = float(np.median(np.ptp(points[..., 1], axis=1)))
    places = points.astype(np.float64) / max(unit, 1e-6)
    beyond = min(len(places) - 1, round(_BEYOND_S * fps))
    before = 2 * places[0] - places[beyond:0:-1]  # a face that enters or leaves moves on as it did
    after = 2 * places[-1] - places[-2 : -2 - beyond : -1]
    longer = np.concatenate([before, places, after])
    both = _one_euro(longer, fps) + _one_euro(longer[::-1], fps)[::-1]
    return (both[beyond : beyond + len(places)] * (unit / 2)).astype(np.float32)


def _one_euro(places: NDArray[np.float64], fps: float) -> NDArray[np.float64]:
    """The filter in one direction, on places (frames, 478, 2) in face heights; all landmarks share one cutoff.

    With a cutoff for each, the landmarks at rest would stay behind those that move, and the mask would be bent.
    """
    out, speed = places.copy(), np.zeros_like(places[0])
    share = _share(_SPEED_CUTOFF_HZ, fps)
    for number in range(1, len(places)):
        speed += share * ((places[number] - places[number - 1]) * fps - speed)
        mean_speed = float(np.hypot(speed[:, 0], speed[:, 1]).mean())
        cutoff = _MIN_CUTOFF_HZ + _BETA * mean_speed
        out[number] = out[number - 1] + _share(cutoff, fps) * (places[number] - out[number - 1])
    return out


def _share(cutoff_hz: float, fps: float) -> float:
    """The share of a new value in an exponential mean with this cutoff (Casiez et al. 2012, equation 6)."""
    return 1 / (1 + fps / (2 * np.pi * cutoff_hz))
