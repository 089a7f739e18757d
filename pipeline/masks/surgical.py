"""A surgical mask, drawn: cloth with its folds, borders and weave, flat as it comes out of the box."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.float32]

HEIGHT, WIDTH = 288, 416  # px of the drawing; a mask on a face of 256 px is about 100 x 150


@dataclass(frozen=True)
class Cloth:
    """One mask's looks."""

    hue: float  # CIELAB a-b angle, radians
    chroma: float
    lightness: float  # CIELAB, 0-100
    folds: tuple[float, float, float]  # where the pleats lie, 0 at the upper edge, 1 at the lower
    depth: float  # how dark the folds' shadows are, 0-1
    creases: float  # strength of the wrinkles, 0-1
    seed: int


def draw_cloth(rng: np.random.Generator) -> Cloth:
    """Light blue mostly, now and then greenish or white."""
    greenish = rng.random() < 0.12
    pale = rng.random() < 0.05
    jitter = rng.normal(0, 0.018, 3)
    return Cloth(
        hue=float(rng.normal(3.55, 0.1) if greenish else rng.normal(4.28, 0.1)),
        chroma=float(rng.uniform(3, 7) if pale else rng.uniform(14, 20) if greenish else rng.uniform(19, 29)),
        lightness=float(rng.uniform(86, 92) if pale else rng.uniform(74, 84)),
        folds=(0.30 + jitter[0], 0.50 + jitter[1], 0.70 + jitter[2]),
        depth=float(rng.uniform(0.20, 0.36)),
        creases=float(rng.uniform(0.03, 0.08)),
        seed=int(rng.integers(1 << 31)),
    )


def draw_mask(cloth: Cloth) -> Picture:
    """The mask as (HEIGHT, WIDTH, 4): RGB 0-255 and alpha 0-1."""
    rng = np.random.default_rng(cloth.seed)
    down, across = np.mgrid[0 : 1 : HEIGHT * 1j, -1 : 1 : WIDTH * 1j].astype(np.float32)
    shade = _body(across, down) * _folds(cloth, across, down) * _wrinkles(cloth, rng) * _weave(rng)
    colour = _paint(cloth, shade, _pale(across, down))
    colour *= _seams(across, down)[..., None]
    return np.dstack([np.clip(colour, 0, 255), _outline(across, down)])


def _band(values: Picture, at: float | Picture, width: float) -> Picture:
    """A soft line: 1 where values == at, gone at a few widths."""
    return np.asarray(np.exp(-0.5 * ((values - at) / width) ** 2), np.float32)


def _step(values: Picture, at: float | Picture, width: float) -> Picture:
    return np.asarray(1 / (1 + np.exp(-np.clip((values - at) / width, -30, 30))), np.float32)


def _body(across: Picture, down: Picture) -> Picture:
    """The worn mask's own roundness: darker to the sides and under the chin, light along the nose's ridge."""
    sides = 1 - 0.24 * np.abs(across) ** 3
    chin = 1 - 0.20 * _step(down, 0.86, 0.05)
    ridge = 1 + 0.07 * _band(across, 0, 0.16) * (1 - _step(down, 0.5, 0.08))
    flanks = 1 - 0.06 * _band(np.abs(across), 0.36, 0.13) * (1 - _step(down, 0.42, 0.08))
    return np.asarray(sides * chin * ridge * flanks, np.float32)


def _folds(cloth: Cloth, across: Picture, down: Picture) -> Picture:
    """Three pleats: a sharp edge with a shadow under it and a highlight on it, pulled apart in the middle."""
    out = np.ones_like(across)
    for number, fold in enumerate(cloth.folds):
        # The folds meet the side seams closer together than they run across the middle.
        spread = 1 - 0.16 * across**2
        line = np.asarray(0.5 + (fold - 0.5) * spread + 0.02 * (number - 1) * (1 - across**2), np.float32)
        below = np.clip(down - line, 0, None)
        out *= 1 - cloth.depth * np.exp(-below / 0.022) * _step(down, line, 0.0025)
        out *= 1 + 0.35 * cloth.depth * _band(down, line - 0.014, 0.010)
        out *= 1 - 0.25 * cloth.depth * _band(down, line + 0.06, 0.03)
    return out


def _wrinkles(cloth: Cloth, rng: np.random.Generator) -> Picture:
    """Soft creases that run in from the corners, and dents here and there."""
    out = np.zeros((HEIGHT, WIDTH), np.float32)
    for cells, weight in ((3, 0.6), (6, 0.5), (12, 0.35)):
        noise = rng.uniform(-1, 1, (cells, cells * 2)).astype(np.float32)
        out += weight * cv2.resize(noise, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    lines = np.zeros_like(out)
    for side in (-1, 1):
        for corner in (0.06, 0.94):
            for _ in range(2):
                reach, rise = rng.uniform(0.25, 0.6), rng.uniform(-0.05, 0.25) * (1 if corner < 0.5 else -1)
                start = (round((side * 0.97 + 1) / 2 * WIDTH), round(corner * HEIGHT))
                end = (round((side * (0.97 - reach) + 1) / 2 * WIDTH), round((corner + rise) * HEIGHT))
                cv2.line(lines, start, end, float(rng.choice([-1.0, 1.0])), 4, cv2.LINE_AA)
    soft = cv2.GaussianBlur(lines, (0, 0), 4)
    return np.asarray(1 + cloth.creases * (out + 1.3 * soft), np.float32)


def _weave(rng: np.random.Generator) -> Picture:
    grain = cv2.GaussianBlur(rng.standard_normal((HEIGHT, WIDTH), np.float32), (0, 0), 1.0)
    rows = np.sin(np.arange(HEIGHT, dtype=np.float32) * 1.9)[:, None]
    columns = np.sin(np.arange(WIDTH, dtype=np.float32) * 1.9)[None]
    return np.asarray(1 + 0.035 * grain + 0.010 * rows * columns, np.float32)


def _pale(across: Picture, down: Picture) -> Picture:
    """How much of the colour is lost, 0-1: the folded-over borders show the white inner side."""
    upper = 1 - _step(down, 0.085, 0.004)
    lower = _step(down, 0.955, 0.004)
    sides = _step(np.abs(across), 0.955, 0.004)
    return np.asarray(np.clip(0.62 * upper + 0.35 * lower + 0.30 * sides, 0, 0.75), np.float32)


def _paint(cloth: Cloth, shade: Picture, pale: Picture) -> Picture:
    lab = np.empty((HEIGHT, WIDTH, 3), np.float32)
    lab[..., 0] = cloth.lightness + (93 - cloth.lightness) * pale
    chroma = cloth.chroma * (1 - pale)
    lab[..., 1], lab[..., 2] = chroma * np.cos(cloth.hue), chroma * np.sin(cloth.hue)
    return np.asarray(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB) * 255 * shade[..., None], np.float32)


def _seams(across: Picture, down: Picture) -> Picture:
    """The nose wire's ridge, and the dotted welds along all borders: factors."""
    middle = np.abs(across) < 0.52
    wire = middle * (0.07 * _band(down, 0.036, 0.008) - 0.10 * _band(down, 0.056, 0.006))
    dots_across = np.sin(across * 150) > 0
    dots_down = np.sin(down * 190) > 0
    welds = dots_across * (_band(down, 0.080, 0.0045) + _band(down, 0.100, 0.0045) + _band(down, 0.952, 0.0045))
    welds = welds + dots_down * _band(np.abs(across), 0.950, 0.006)
    return np.asarray((1 + wire) * (1 - 0.16 * np.clip(welds, 0, 1)), np.float32)


def _outline(across: Picture, down: Picture) -> Picture:
    """Alpha: the drawing's rectangle with round corners and a soft rim of two pixels."""
    x, y = np.abs(across) * WIDTH / 2, np.abs(down - 0.5) * HEIGHT
    corner, rim = 14.0, 3.0
    reach_x, reach_y = x - (WIDTH / 2 - corner - rim), y - (HEIGHT / 2 - corner - rim)
    outside = np.hypot(np.maximum(reach_x, 0), np.maximum(reach_y, 0)) - corner
    return np.asarray(np.clip(0.5 - outside / 2, 0, 1), np.float32)
