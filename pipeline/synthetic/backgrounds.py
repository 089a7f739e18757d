"""Synthetic backgrounds, out of focus: walls, windows, shelves, leaves, horizons, lights."""

from collections.abc import Callable

import cv2
import numpy as np

from pipeline.masks.records import FloatImage
from pipeline.masks.textures import noise

_SMALL = 64  # px; a background is drawn small and enlarged, which blurs it


def draw_background(rng: np.random.Generator, size: int) -> FloatImage:
    """Draw a background, (size, size, 3) RGB 0-255."""
    kind = _KINDS[rng.integers(len(_KINDS))]
    small = _lit(kind(rng), rng)
    soft = cv2.GaussianBlur(small, (0, 0), rng.uniform(0.6, 2.2))
    large = cv2.resize(soft, (size, size), interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(large, 4, 250), np.float32)


def _colour(
    rng: np.random.Generator, lightness: tuple[float, float], chroma: float, hue: float | None = None
) -> FloatImage:
    """Draw a colour, (3,) RGB 0-255, in CIELAB: a range of lightness, a largest chroma, near a hue (radians) or any."""
    angle = rng.uniform(0, 2 * np.pi) if hue is None else hue + rng.normal(0, 0.25)
    radius = chroma * np.sqrt(rng.uniform(0.05, 1))
    lab = np.array([[[rng.uniform(*lightness), radius * np.cos(angle), radius * np.sin(angle)]]], np.float32)
    return np.asarray(np.clip(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)[0, 0], 0, 1) * 255, np.float32)


def _clouds(rng: np.random.Generator, finest: int) -> FloatImage:
    """Smooth noise at several scales, (_SMALL, _SMALL), about -1 to 1."""
    total = np.zeros((_SMALL, _SMALL), np.float32)
    cells, weight = 2, 1.0
    while cells <= finest:
        total += weight * noise(rng, cells, _SMALL, _SMALL)
        cells, weight = cells * 2, weight * 0.75
    return total / max(1e-6, float(np.abs(total).max()))


def _mix(one: FloatImage, other: FloatImage, share: FloatImage) -> FloatImage:
    """Blend from `one` at share 0 to `other` at 1."""
    return np.asarray(one + (other - one) * np.clip(share, 0, 1)[..., None], np.float32)


def _flat(colour: FloatImage) -> FloatImage:
    return np.broadcast_to(colour, (_SMALL, _SMALL, 3)).astype(np.float32)


def _lit(picture: FloatImage, rng: np.random.Generator) -> FloatImage:
    """Light a background from one side, as a lamp or a window does."""
    y, x = np.mgrid[-1 : 1 : _SMALL * 1j, -1 : 1 : _SMALL * 1j]
    angle = rng.uniform(0, 2 * np.pi)
    slope = (x * np.cos(angle) + y * np.sin(angle)) * rng.uniform(0.05, 0.65)
    return np.asarray(picture * np.exp(slope + 0.15 * _clouds(rng, 4))[..., None], np.float32)


def _wall(rng: np.random.Generator) -> FloatImage:
    base = _flat(_colour(rng, (25, 88), 30))
    return _mix(base, _flat(_colour(rng, (20, 90), 30)), 0.5 + 0.7 * _clouds(rng, 4))


def _horizon(rng: np.random.Generator) -> FloatImage:
    level = rng.uniform(0.3, 0.8)
    y = np.asarray(np.linspace(0, 1, _SMALL)[:, None] + 0.06 * _clouds(rng, 8), np.float32)
    sky = _mix(_flat(_colour(rng, (55, 92), 35, -1.5)), _flat(_colour(rng, (75, 95), 12)), y / level)
    ground = _mix(_flat(_colour(rng, (20, 60), 40, 2.0)), _flat(_colour(rng, (25, 65), 30, 1.2)),
                  0.5 + _clouds(rng, 16))  # fmt: skip
    return _mix(sky, ground, (y - level) * 14)


def _leaves(rng: np.random.Generator) -> FloatImage:
    dark, light = _colour(rng, (12, 35), 30, 2.1), _colour(rng, (50, 85), 50, 1.9)
    return _mix(_flat(dark), _flat(light), 0.5 + 0.8 * _clouds(rng, 16) + 0.5 * _clouds(rng, 4))


def _panels(rng: np.random.Generator) -> FloatImage:
    """Vertical bands: doors, curtains, columns."""
    out = _flat(_colour(rng, (20, 85), 30))
    edges = sorted(int(edge) for edge in rng.integers(0, _SMALL, rng.integers(2, 6)))
    for left, right in zip(edges, [*edges[1:], _SMALL], strict=True):
        out[:, left:right] = _colour(rng, (10, 92), 35)
    return out


def _window(rng: np.random.Generator) -> FloatImage:
    out = _wall(rng) * 0.75
    left, top, width, height = (int(rng.integers(*span)) for span in ((-10, 44), (-14, 24), (16, 44), (24, 60)))
    x0, y0, x1, y1 = max(0, left), max(0, top), min(_SMALL, left + width), min(_SMALL, top + height)
    outside = _horizon(rng) if rng.random() < 0.5 else _flat(_colour(rng, (85, 98), 10))
    out[y0:y1, x0:x1] = np.maximum(outside, 150)[y0:y1, x0:x1]
    frame = _colour(rng, (20, 80), 15)
    out[y0:y1, min(_SMALL - 1, max(0, left + width // 2))] = frame
    return out


def _shelves(rng: np.random.Generator) -> FloatImage:
    out = _flat(_colour(rng, (15, 40), 20, 1.1))
    board = int(rng.integers(9, 20))
    for top in range(int(rng.integers(-board, 1)), _SMALL, board):
        x = 0
        while x < _SMALL:
            width = int(rng.integers(2, 7))
            gap = int(rng.integers(1, max(2, board // 3)))
            out[max(0, top + gap) : max(0, top + board - 2), x : x + width] = _colour(rng, (15, 85), 45)
            x += width
    return out


def _lights(rng: np.random.Generator) -> FloatImage:
    """Lamps at night: discs, as points of light look out of focus."""
    out = _mix(_flat(_colour(rng, (5, 22), 15)), _flat(_colour(rng, (15, 45), 25)), 0.5 + _clouds(rng, 4))
    for _ in range(int(rng.integers(8, 22))):
        disc = np.zeros((_SMALL, _SMALL), np.float32)
        at, radius = rng.integers(0, _SMALL, 2), int(rng.integers(2, 8))
        cv2.circle(disc, (int(at[0]), int(at[1])), radius, 1.0, -1, cv2.LINE_AA)
        out = _mix(out, _flat(_colour(rng, (60, 95), 50)), disc * float(rng.uniform(0.3, 0.9)))
    return out


def _blocks(rng: np.random.Generator) -> FloatImage:
    """Large flat shapes at any angle: buildings, furniture, posters."""
    out = _wall(rng)
    for _ in range(int(rng.integers(3, 8))):
        box = ((float(rng.uniform(0, _SMALL)), float(rng.uniform(0, _SMALL))),
               (float(rng.uniform(8, 40)), float(rng.uniform(8, 40))),
               float(rng.normal(0, 8)))  # fmt: skip
        shape = np.zeros((_SMALL, _SMALL), np.float32)
        cv2.fillPoly(shape, [np.rint(cv2.boxPoints(box)).astype(np.int32)], 1.0)
        out = _mix(out, _flat(_colour(rng, (10, 92), 38)), shape)
    return out


_KINDS: tuple[Callable[[np.random.Generator], FloatImage], ...] = (
    _wall, _horizon, _leaves, _panels, _window, _shelves, _lights, _blocks,
)  # fmt: skip
