"""Masks as they lie on a table: outline, cloth, folds and fittings of each family."""

from dataclasses import dataclass
from typing import Literal, get_args

import cv2
import numpy as np

from pipeline.masks import surgical as mask
from pipeline.masks.surgical import HEIGHT, WIDTH, Picture
from pipeline.masks.textures import draw_colour, draw_texture, noise, white_texture

Family = Literal["surgical", "pleated", "kn95", "cup", "duckbill", "cloth", "snug", "gaiter"]
FAMILIES: tuple[Family, ...] = get_args(Family)

_ACROSS, _DOWN = np.meshgrid(np.linspace(-1, 1, WIDTH, dtype=np.float32), np.linspace(0, 1, HEIGHT, dtype=np.float32))


@dataclass(frozen=True)
class Design:
    """One mask, flat."""

    family: Family
    drawing: Picture  # (HEIGHT, WIDTH, 4): RGB 0-255, alpha 0-1
    straps: Literal["loops", "bands", "none"]  # round the ears, round the head, or not seen
    strap_colour: Picture  # (3,) RGB


@dataclass(frozen=True)
class Outline:
    """The mask's edge, in its own coordinates: across -1 to 1, down 0 to 1."""

    peak: float  # how far the upper edge falls from the middle to the sides
    bend: float  # power of that fall: 1 a gable, 2 an arch
    keel: float  # how far the lower edge rises to the sides
    keel_bend: float
    taper: float  # how much narrower it is above than below the middle, and below than there
    round: float  # radius of its corners, share of the height


def draw_design(rng: np.random.Generator, family: Family, photo: Picture | None, white: bool = False) -> Design:
    """Draw one mask of a family, of any colour or `white`. `photo` may lend a piece for a print."""
    colour: Picture = white_texture(rng) if white else draw_texture(rng, photo)
    if family == "surgical" and not white:
        drawing = mask.draw_mask(_surgical_cloth(rng))
    else:
        outline = _draw_outline(rng, family)
        shade = _shade(rng, family)
        colour = _bordered(rng, colour, outline) * shade[..., None]
        colour = _fitted_out(rng, family, colour)
        drawing = np.dstack([np.clip(colour, 0, 255), _alpha(rng, outline)]).astype(np.float32)
    straps = "bands" if family in ("cup", "duckbill") else "none" if family == "gaiter" else "loops"
    if rng.random() < 0.35:
        straps = "none"
    pale = rng.random() < 0.6
    strap_colour = np.asarray(rng.uniform(190, 240, 3) if pale else draw_colour(rng), np.float32)
    return Design(family, drawing, straps, strap_colour)  # type: ignore[arg-type]


def _surgical_cloth(rng: np.random.Generator) -> mask.Cloth:
    hue, chroma, lightness = rng.uniform(0, 2 * np.pi), rng.uniform(3, 40), rng.uniform(20, 88)
    if rng.random() < 0.5:
        hue, chroma, lightness = rng.normal(4.2, 0.25), rng.uniform(10, 34), rng.uniform(66, 88)
    jitter = rng.normal(0, 0.03, 3)
    return mask.Cloth(
        hue=float(hue),
        chroma=float(chroma),
        lightness=float(lightness),
        folds=(0.30 + jitter[0], 0.50 + jitter[1], 0.70 + jitter[2]),
        depth=float(rng.uniform(0.05, 0.4)),
        creases=float(rng.uniform(0.02, 0.16)),
        seed=int(rng.integers(1 << 31)),
    )


def _draw_outline(rng: np.random.Generator, family: Family) -> Outline:
    def within(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    match family:
        case "surgical" | "pleated":
            return Outline(within(0, 0.14), within(1, 2.5), within(0, 0.3), within(1, 3), within(0, 0.08), 0.05)
        case "kn95":
            return Outline(within(0.12, 0.32), within(0.9, 1.6), within(0.1, 0.42), within(1, 2), within(0, 0.1), 0.06)
        case "cup":
            return Outline(within(0.1, 0.4), within(1.4, 3), within(0.2, 0.5), within(1.5, 3), within(0.1, 0.3), 0.3)
        case "duckbill":
            return Outline(within(0.05, 0.3), within(1, 2.5), within(0.15, 0.45), within(1, 2.5), within(0, 0.25), 0.1)
        case "cloth" | "snug":
            return Outline(within(0, 0.32), within(1, 2.5), within(0.05, 0.45), within(1, 3), within(0, 0.2), 0.12)
        case "gaiter":
            return Outline(within(-0.05, 0.12), within(1, 2), within(0, 0.1), within(1, 2), 0.0, 0.02)


def _alpha(rng: np.random.Generator, outline: Outline) -> Picture:
    across, down = np.abs(_ACROSS), _DOWN
    upper = outline.peak * across**outline.bend
    lower = 1 - outline.keel * across**outline.keel_bend
    side = 1 - outline.taper * np.abs(2 * down - 1) ** 1.5
    # Distance to the nearest edge in px, corners rounded by adding two near edges' shortfalls.
    radius = max(2.0, outline.round * HEIGHT / 2)
    above, below = (down - upper) * HEIGHT, (lower - down) * HEIGHT
    beside = (side - across) * WIDTH / 2
    short = [np.maximum(radius - inside, 0) for inside in (above, below, beside)]
    reach = np.minimum(np.minimum(above, below), beside)
    corner = radius - np.sqrt(short[0] ** 2 + short[1] ** 2 + short[2] ** 2)
    inside = np.where(corner < radius, np.minimum(reach, corner), reach) - 1.5
    if rng.random() < 0.3:  # cut out by hand, or frayed
        inside = inside + rng.uniform(1, 5) * noise(rng, int(rng.integers(8, 60)))
    return np.asarray(np.clip(0.5 + inside / rng.uniform(1, 5), 0, 1), np.float32)


def _line(values: Picture, at: float | Picture, width: float) -> Picture:
    return np.asarray(np.exp(-0.5 * ((values - at) / width) ** 2), np.float32)


def _shade(rng: np.random.Generator, family: Family) -> Picture:
    """Light and shadow of the worn shape, as factors about 1."""
    out = 1 - rng.uniform(0, 0.35) * np.abs(_ACROSS) ** rng.uniform(1.5, 4)
    out = out * (1 - rng.uniform(0, 0.4) * _DOWN ** rng.uniform(1.5, 5))
    for cells in (3, 7, 14):
        out = out * (1 + rng.uniform(0.0, 0.13) * noise(rng, cells))
    match family:
        case "surgical" | "pleated":
            out = out * _pleats(rng, int(rng.integers(1, 5)))
        case "kn95":
            out = out * _seam(rng)
        case "cup":
            for at in rng.uniform(0.15, 0.9, int(rng.integers(0, 4))):
                ring = np.hypot(_ACROSS, 2 * _DOWN - 1)
                out = out * (1 + rng.uniform(-0.2, 0.2) * _line(ring, float(at), rng.uniform(0.01, 0.04)))
            out = out * (1 + 0.25 * _line(np.hypot(_ACROSS, 1.6 * _DOWN - 0.6), 0, 0.45))
        case "duckbill":
            fold = rng.uniform(0.4, 0.65) + rng.uniform(-0.1, 0.2) * _ACROSS**2
            out = out * (1 - rng.uniform(0.1, 0.4) * (fold < _DOWN)) * (1 - 0.3 * _line(_DOWN, fold, 0.01))
        case "cloth" | "snug":
            out = out * (_seam(rng) if rng.random() < 0.6 else _pleats(rng, int(rng.integers(0, 4))))
        case "gaiter":
            for _ in range(int(rng.integers(3, 9))):
                at = rng.uniform(0, 1) + rng.uniform(-0.3, 0.3) * (1 - _ACROSS**2)
                out = out * (1 - rng.uniform(0.05, 0.35) * _line(_DOWN, at, rng.uniform(0.01, 0.04)))
    return np.asarray(np.clip(out * rng.uniform(0.9, 1.1), 0.2, 1.6), np.float32)


def _pleats(rng: np.random.Generator, count: int) -> Picture:
    out, depth = np.ones_like(_DOWN), rng.uniform(0.05, 0.45)
    for at in (np.arange(count) + 1) / (count + 1) + rng.normal(0, 0.04, count):
        line = np.asarray(at + rng.uniform(-0.12, 0.12) * (1 - _ACROSS**2), np.float32)
        below = np.clip(_DOWN - line, 0, None)
        out = out * (1 - depth * np.exp(-below / 0.025) * (line < _DOWN))
        out = out * (1 + 0.3 * depth * _line(_DOWN, line - 0.015, 0.012))
    return np.asarray(out, np.float32)


def _seam(rng: np.random.Generator) -> Picture:
    """The seam down the middle, each half in another light."""
    line = rng.normal(0, 0.03) + rng.uniform(-0.06, 0.06) * np.sin(np.pi * _DOWN)
    lit = rng.uniform(-0.18, 0.18) * np.tanh((_ACROSS - line) / rng.uniform(0.02, 0.5))
    edge = rng.uniform(-0.35, 0.25) * _line(_ACROSS, line, rng.uniform(0.006, 0.02))
    return np.asarray((1 + lit) * (1 + edge), np.float32)


def _bordered(rng: np.random.Generator, colour: Picture, outline: Outline) -> Picture:
    """A hem, a stitched line, or neither."""
    if rng.random() < 0.5:
        return colour
    upper = _DOWN - outline.peak * np.abs(_ACROSS) ** outline.bend
    lower = 1 - outline.keel * np.abs(_ACROSS) ** outline.keel_bend - _DOWN
    near = np.minimum(np.minimum(upper, lower), 0.7 * (1 - np.abs(_ACROSS)))
    wide = rng.uniform(0.02, 0.09)
    amount = (near < wide) if rng.random() < 0.6 else _line(near, wide, 0.006)
    trim = draw_colour(rng) if rng.random() < 0.5 else colour * rng.uniform(0.6, 1.3)
    return np.asarray(colour + (trim - colour) * np.asarray(amount, np.float32)[..., None], np.float32)


def _fitted_out(rng: np.random.Generator, family: Family, colour: Picture) -> Picture:
    """Valve, nose clip and print."""
    out = np.ascontiguousarray(np.clip(np.rint(colour), 0, 255), np.uint8)
    if family in ("cup", "kn95", "duckbill", "cloth") and rng.random() < 0.35:
        size = round(rng.uniform(0.07, 0.15) * HEIGHT)
        at = (round((0.5 + rng.choice([0, rng.uniform(-0.25, 0.25)])) * WIDTH), round(rng.uniform(0.4, 0.7) * HEIGHT))
        tone = rng.uniform(20, 250, 3) if rng.random() < 0.3 else np.full(3, rng.uniform(30, 250))
        cv2.circle(out, at, size, (tone * 0.6).tolist(), -1, cv2.LINE_AA)
        cv2.circle(out, at, round(size * 0.88), tone.tolist(), -1, cv2.LINE_AA)
        for row in range(-2, 3):
            y = at[1] + round(row * size * 0.3)
            cv2.line(out, (at[0] - size // 2, y), (at[0] + size // 2, y), (tone * 0.7).tolist(), 2)
    if family in ("cup", "duckbill", "kn95", "pleated") and rng.random() < 0.4:
        metal = np.full(3, rng.uniform(90, 230)).tolist()
        half, y = round(rng.uniform(0.08, 0.22) * WIDTH), round(rng.uniform(0.05, 0.14) * HEIGHT)
        cv2.line(out, (WIDTH // 2 - half, y), (WIDTH // 2 + half, y), metal, round(rng.uniform(4, 14)), cv2.LINE_AA)
    if rng.random() < 0.2:
        text = "".join(rng.choice(list("ABEHKMNORSTVX395"), int(rng.integers(2, 8))))
        at = (round(rng.uniform(0.1, 0.6) * WIDTH), round(rng.uniform(0.3, 0.8) * HEIGHT))
        letters, thick = rng.uniform(0.6, 2.5), int(rng.integers(1, 6))
        cv2.putText(out, text, at, cv2.FONT_HERSHEY_SIMPLEX, letters, draw_colour(rng).tolist(), thick, cv2.LINE_AA)
    if rng.random() < 0.08:  # a drawn mouth or a whiskered snout
        middle, wide = (WIDTH // 2, round(rng.uniform(0.5, 0.75) * HEIGHT)), round(rng.uniform(0.1, 0.3) * WIDTH)
        axes = (wide, max(3, round(wide * rng.uniform(0.1, 0.5))))
        start = float(rng.choice([0, 180]))
        filled = -1 if rng.random() < 0.5 else 6
        cv2.ellipse(out, middle, axes, 0, start, start + 180, draw_colour(rng).tolist(), filled, cv2.LINE_AA)
    return np.asarray(out, np.float32)
