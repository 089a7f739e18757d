"""The surgical mask as a flat design: fabric with pleats, borders and weave."""

from dataclasses import dataclass

import cv2
import numpy as np

from pipeline.masks.canvas import ACROSS, DOWN, soft_line, soft_step
from pipeline.masks.light import exposed
from pipeline.masks.records import HEIGHT, WIDTH, FloatImage, MaskDesign

_ELASTIC = np.array([222, 227, 230], np.float32)  # colour of the ear loops, RGB


@dataclass(frozen=True)
class SurgicalMask:
    """The look of one surgical mask."""

    hue: float  # angle in CIELAB's a-b plane, radians
    chroma: float
    lightness: float  # CIELAB, 0-100
    pleats: tuple[float, float, float]  # heights: 0 is the upper edge, 1 the lower
    pleat_depth: float  # darkness of the pleats' shadows, 0-1
    creases: float  # strength of the wrinkles, 0-1
    seed: int  # of wrinkles and weave


def draw_surgical_mask(rng: np.random.Generator) -> SurgicalMask:
    """Draw a look: mostly light blue, sometimes greenish or white."""
    greenish = rng.random() < 0.12
    pale = rng.random() < 0.05
    jitter = rng.normal(0, 0.018, 3)
    return SurgicalMask(
        hue=float(rng.normal(3.55, 0.1) if greenish else rng.normal(4.28, 0.1)),
        chroma=float(rng.uniform(3, 7) if pale else rng.uniform(14, 20) if greenish else rng.uniform(19, 29)),
        lightness=float(rng.uniform(86, 92) if pale else rng.uniform(74, 84)),
        pleats=(0.30 + jitter[0], 0.50 + jitter[1], 0.70 + jitter[2]),
        pleat_depth=float(rng.uniform(0.30, 0.48)),
        creases=float(rng.uniform(0.03, 0.08)),
        seed=int(rng.integers(1 << 31)),
    )


def surgical_design(mask: SurgicalMask) -> MaskDesign:
    """Draw the mask flat, HEIGHT x WIDTH, with ear loops."""
    rng = np.random.default_rng(mask.seed)
    shade = _roundness() * _pleats(mask) * _wrinkles(mask, rng) * _weave(rng)
    colour = _colour(mask, shade, _border_whiteness())
    colour *= _seams()[..., None]
    drawing = np.dstack([np.maximum(exposed(colour), 0), _outline()])
    return MaskDesign(drawing, "loops", _ELASTIC)


def _roundness() -> FloatImage:
    """The shape of the worn mask, as factors: darker at the sides and below the chin, lighter along the nose."""
    sides = 1 - 0.24 * np.abs(ACROSS) ** 3
    chin = 1 - 0.20 * soft_step(DOWN, 0.86, 0.05)
    ridge = 1 + 0.07 * soft_line(ACROSS, 0, 0.16) * (1 - soft_step(DOWN, 0.5, 0.08))
    flanks = 1 - 0.06 * soft_line(np.abs(ACROSS), 0.36, 0.13) * (1 - soft_step(DOWN, 0.42, 0.08))
    return np.asarray(sides * chin * ridge * flanks, np.float32)


def _pleats(mask: SurgicalMask) -> FloatImage:
    """Three pleats, as factors: a sharp edge with a shadow below and a highlight above, spread in the middle."""
    out = np.ones_like(ACROSS)
    for number, height in enumerate(mask.pleats):
        # The pleats are closer together at the side seams than in the middle.
        spread = 1 - 0.16 * ACROSS**2
        line = np.asarray(0.5 + (height - 0.5) * spread + 0.02 * (number - 1) * (1 - ACROSS**2), np.float32)
        below = np.clip(DOWN - line, 0, None)
        out *= 1 - mask.pleat_depth * np.exp(-below / 0.022) * soft_step(DOWN, line, 0.0025)
        out *= 1 - 0.5 * mask.pleat_depth * soft_line(DOWN, line + 0.004, 0.007)
        out *= 1 + 0.55 * mask.pleat_depth * soft_line(DOWN, line - 0.015, 0.009)
        out *= 1 - 0.25 * mask.pleat_depth * soft_line(DOWN, line + 0.06, 0.03)
    return out


def _wrinkles(mask: SurgicalMask, rng: np.random.Generator) -> FloatImage:
    """Soft creases from the corners inward, and dents, as factors."""
    dents = np.zeros((HEIGHT, WIDTH), np.float32)
    for cells, weight in ((3, 0.6), (6, 0.5), (12, 0.35)):
        coarse = rng.uniform(-1, 1, (cells, cells * 2)).astype(np.float32)
        dents += weight * cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    creases = np.zeros_like(dents)
    for side in (-1, 1):
        for corner in (0.06, 0.94):
            for _ in range(2):
                length, rise = rng.uniform(0.25, 0.6), rng.uniform(-0.05, 0.25) * (1 if corner < 0.5 else -1)
                start = (round((side * 0.97 + 1) / 2 * WIDTH), round(corner * HEIGHT))
                end = (round((side * (0.97 - length) + 1) / 2 * WIDTH), round((corner + rise) * HEIGHT))
                cv2.line(creases, start, end, float(rng.choice([-1.0, 1.0])), 4, cv2.LINE_AA)
    soft = cv2.GaussianBlur(creases, (0, 0), 4)
    return np.asarray(1 + mask.creases * (dents + 1.3 * soft + 2.2 * _fine_creases(mask, rng)), np.float32)


def _fine_creases(mask: SurgicalMask, rng: np.random.Generator) -> FloatImage:
    """Short folds (HEIGHT, WIDTH), -1 to 1, along the pleats: each a bright line beside a dark one."""
    lines = np.zeros((HEIGHT, WIDTH), np.float32)
    along = np.linspace(0, 1, 12)
    for _ in range(26):
        height = float(rng.choice(mask.pleats)) + rng.uniform(-0.1, 0.14)
        start, length = rng.uniform(0.05, 0.8), rng.uniform(0.08, 0.35)
        bend, rise, depth = rng.uniform(-0.03, 0.03), rng.uniform(-0.05, 0.05), rng.uniform(0.3, 1)
        x = (start + length * along) * WIDTH
        y = (height + rise * along + 4 * bend * along * (1 - along)) * HEIGHT
        for offset, tone in ((0, -depth), (3, depth)):
            points = np.rint(np.column_stack([x, y + offset]) * 16).astype(np.int32)
            cv2.polylines(lines, [points], False, tone, 2, cv2.LINE_AA, 4)
    return np.asarray(cv2.GaussianBlur(lines, (0, 0), 1.2), np.float32)


def _weave(rng: np.random.Generator) -> FloatImage:
    """The grain of the fabric, as factors: fibres one pixel thick, and the embossed dots."""
    grain = cv2.GaussianBlur(rng.standard_normal((HEIGHT, WIDTH), np.float32), (0, 0), 1.0)
    rows = np.sin(np.arange(HEIGHT, dtype=np.float32) * 1.9)[:, None]
    columns = np.sin(np.arange(WIDTH, dtype=np.float32) * 1.9)[None]
    return np.asarray(1 + 0.05 * grain + 0.014 * rows * columns, np.float32)


def _border_whiteness() -> FloatImage:
    """The share of the colour that is replaced by white, 0-1: the folded borders show the white inner side."""
    upper = 1 - soft_step(DOWN, 0.085, 0.004)
    lower = soft_step(DOWN, 0.955, 0.004)
    sides = soft_step(np.abs(ACROSS), 0.955, 0.004)
    return np.asarray(np.clip(0.62 * upper + 0.35 * lower + 0.30 * sides, 0, 0.75), np.float32)


def _colour(mask: SurgicalMask, shade: FloatImage, whiteness: FloatImage) -> FloatImage:
    """(H, W, 3) RGB 0-255."""
    lab = np.empty((*shade.shape, 3), np.float32)
    lab[..., 0] = mask.lightness + (93 - mask.lightness) * whiteness
    chroma = mask.chroma * (1 - whiteness)
    lab[..., 1], lab[..., 2] = chroma * np.cos(mask.hue), chroma * np.sin(mask.hue)
    return np.asarray(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB) * 255 * shade[..., None], np.float32)


def _seams() -> FloatImage:
    """The ridge of the nose wire, and the dotted welds along the borders, as factors."""
    middle = np.abs(ACROSS) < 0.52
    wire = middle * (0.07 * soft_line(DOWN, 0.036, 0.008) - 0.10 * soft_line(DOWN, 0.056, 0.006))
    dots_across = np.sin(ACROSS * 150) > 0
    dots_down = np.sin(DOWN * 190) > 0
    welds = dots_across * sum(soft_line(DOWN, height, 0.005) for height in (0.030, 0.080, 0.104, 0.935, 0.965))
    welds = welds + dots_down * sum(soft_line(np.abs(ACROSS), place, 0.006) for place in (0.925, 0.955))
    fold = soft_line(DOWN, 0.122, 0.005) * (np.abs(ACROSS) < 0.92)
    return np.asarray((1 + wire) * (1 - 0.30 * np.clip(welds, 0, 1)) * (1 - 0.12 * fold), np.float32)


def _outline() -> FloatImage:
    """Alpha (H, W): a rectangle with round corners and a soft edge of two pixels."""
    x, y = np.abs(ACROSS) * WIDTH / 2, np.abs(DOWN - 0.5) * HEIGHT
    radius, rim = 14.0, 3.0
    beyond_x, beyond_y = x - (WIDTH / 2 - radius - rim), y - (HEIGHT / 2 - radius - rim)
    outside = np.hypot(np.maximum(beyond_x, 0), np.maximum(beyond_y, 0)) - radius
    return np.asarray(np.clip(0.5 - outside / 2, 0, 1), np.float32)
