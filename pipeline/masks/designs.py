"""Random mask designs of eight families: outline, fabric, folds and fittings."""

from typing import Any, Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.masks.canvas import ACROSS, DOWN, soft_line
from pipeline.masks.catalogue import Outline
from pipeline.masks.records import HEIGHT, WIDTH, ByteImage, FloatImage, MaskDesign, Straps
from pipeline.masks.surgical import SurgicalMask, surgical_design
from pipeline.masks.textures import draw_colour, draw_texture, noise

Family = Literal["surgical", "pleated", "kn95", "cup", "duckbill", "cloth", "snug", "gaiter"]
FAMILIES: tuple[Family, ...] = get_args(Family)


def draw_design(rng: np.random.Generator, family: Family, photo: FloatImage | None) -> MaskDesign:
    """Draw a design of one family, of any colour. Prints may use a part of `photo` (H, W, 3) RGB 0-255."""
    fabric = draw_texture(rng, photo)
    if family == "surgical":
        drawing = surgical_design(_draw_surgical_mask_of_any_colour(rng)).drawing
    else:
        outline = _draw_outline(rng, family)
        shade = _shade(rng, family)
        colour = _add_border(rng, fabric, outline) * shade[..., None]
        colour = _add_fittings(rng, family, colour)
        drawing = np.dstack([np.clip(colour, 0, 255), _alpha(rng, outline)]).astype(np.float32)
    straps: Straps = "bands" if family in ("cup", "duckbill") else "none" if family == "gaiter" else "loops"
    if rng.random() < 0.35:
        straps = "none"
    pale = rng.random() < 0.6
    return MaskDesign(drawing, straps, np.asarray(rng.uniform(190, 240, 3) if pale else draw_colour(rng), np.float32))


def _draw_surgical_mask_of_any_colour(rng: np.random.Generator) -> SurgicalMask:
    """Draw a look from wider ranges than draw_surgical_mask; blue in half of the draws."""
    hue, chroma, lightness = rng.uniform(0, 2 * np.pi), rng.uniform(3, 40), rng.uniform(20, 88)
    if rng.random() < 0.5:
        hue, chroma, lightness = rng.normal(4.2, 0.25), rng.uniform(10, 34), rng.uniform(66, 88)
    jitter = rng.normal(0, 0.03, 3)
    return SurgicalMask(
        hue=float(hue),
        chroma=float(chroma),
        lightness=float(lightness),
        pleats=(0.30 + jitter[0], 0.50 + jitter[1], 0.70 + jitter[2]),
        pleat_depth=float(rng.uniform(0.05, 0.4)),
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


def _below_upper_edge(outline: Outline) -> FloatImage:
    """Height below the upper edge, in mask coordinates."""
    return np.asarray(DOWN - outline.upper_drop * np.abs(ACROSS) ** outline.upper_power)


def _above_lower_edge(outline: Outline) -> FloatImage:
    """Height above the lower edge, in mask coordinates."""
    return np.asarray(1 - outline.lower_rise * np.abs(ACROSS) ** outline.lower_power - DOWN)


def _alpha(rng: np.random.Generator, outline: Outline) -> FloatImage:
    """(H, W) 0-1: the inside of the outline, with a soft and sometimes rough edge."""
    # Distances to the edges in units, negative outside.
    from_top, from_bottom = _below_upper_edge(outline) * HEIGHT, _above_lower_edge(outline) * HEIGHT
    from_side = (1 - outline.taper * np.abs(2 * DOWN - 1) ** 1.5 - np.abs(ACROSS)) * WIDTH / 2
    # Corners are rounded where two edges are nearer than the radius.
    radius = max(2.0, outline.corner_radius * HEIGHT / 2)
    near = [np.maximum(radius - distance, 0) for distance in (from_top, from_bottom, from_side)]
    to_edge = np.minimum(np.minimum(from_top, from_bottom), from_side)
    rounded = radius - np.sqrt(near[0] ** 2 + near[1] ** 2 + near[2] ** 2)
    inside = np.where(rounded < radius, np.minimum(to_edge, rounded), to_edge) - 1.5
    if rng.random() < 0.3:  # hand-cut or frayed
        rough = rng.uniform(1, 5)
        inside = inside + rough * noise(rng, int(rng.integers(8, 60)))
    return np.asarray(np.clip(0.5 + inside / rng.uniform(1, 5), 0, 1), np.float32)


def _shade(rng: np.random.Generator, family: Family) -> FloatImage:
    """The relief of the worn mask, (H, W), as factors about 1."""
    out: NDArray[np.floating[Any]] = 1 - rng.uniform(0, 0.35) * np.abs(ACROSS) ** rng.uniform(1.5, 4)
    out = out * (1 - rng.uniform(0, 0.4) * DOWN ** rng.uniform(1.5, 5))
    for cells in (3, 7, 14):
        out = out * (1 + rng.uniform(0.0, 0.13) * noise(rng, cells))
    match family:
        case "surgical" | "pleated":
            out = out * _pleats(rng, int(rng.integers(1, 5)))
        case "kn95":
            out = out * _seam(rng)
        case "cup":
            out = _add_rings(rng, out)
        case "duckbill":
            fold = rng.uniform(0.4, 0.65) + rng.uniform(-0.1, 0.2) * ACROSS**2
            shadow = rng.uniform(0.1, 0.4) * (fold < DOWN)
            out = out * (1 - shadow) * (1 - 0.3 * soft_line(DOWN, fold, 0.01))
        case "cloth" | "snug":
            out = out * (_seam(rng) if rng.random() < 0.6 else _pleats(rng, int(rng.integers(0, 4))))
        case "gaiter":
            for _ in range(int(rng.integers(3, 9))):
                line = rng.uniform(0, 1) + rng.uniform(-0.3, 0.3) * (1 - ACROSS**2)
                out = out * (1 - rng.uniform(0.05, 0.35) * soft_line(DOWN, line, rng.uniform(0.01, 0.04)))
    return np.asarray(np.clip(out * rng.uniform(0.9, 1.1), 0.2, 1.6), np.float32)


def _pleats(rng: np.random.Generator, count: int) -> FloatImage:
    """Evenly spread pleats with a shadow below and a highlight above, as factors."""
    out, depth = np.ones_like(DOWN), rng.uniform(0.05, 0.45)
    for height in (np.arange(count) + 1) / (count + 1) + rng.normal(0, 0.04, count):
        line = np.asarray(height + rng.uniform(-0.12, 0.12) * (1 - ACROSS**2), np.float32)
        below = np.clip(DOWN - line, 0, None)
        out = out * (1 - depth * np.exp(-below / 0.025) * (line < DOWN))
        out = out * (1 + 0.3 * depth * soft_line(DOWN, line - 0.015, 0.012))
    return np.asarray(out, np.float32)


def _seam(rng: np.random.Generator) -> FloatImage:
    """A vertical seam in the middle, the halves differently lit, as factors."""
    line = rng.normal(0, 0.03) + rng.uniform(-0.06, 0.06) * np.sin(np.pi * DOWN)
    halves = rng.uniform(-0.18, 0.18) * np.tanh((ACROSS - line) / rng.uniform(0.02, 0.5))
    edge = rng.uniform(-0.35, 0.25) * soft_line(ACROSS, line, rng.uniform(0.006, 0.02))
    return np.asarray((1 + halves) * (1 + edge), np.float32)


def _add_rings(rng: np.random.Generator, shade: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Add the concentric ridges and the highlight of a cup."""
    distance = np.hypot(ACROSS, 2 * DOWN - 1)
    for radius in rng.uniform(0.15, 0.9, int(rng.integers(0, 4))):
        shade = shade * (1 + rng.uniform(-0.2, 0.2) * soft_line(distance, float(radius), rng.uniform(0.01, 0.04)))
    return shade * (1 + 0.25 * soft_line(np.hypot(ACROSS, 1.6 * DOWN - 0.6), 0, 0.45))


def _add_border(rng: np.random.Generator, fabric: FloatImage, outline: Outline) -> FloatImage:
    """Add a hem, a stitched line, or nothing."""
    if rng.random() < 0.5:
        return fabric
    to_edge = np.minimum(_below_upper_edge(outline), _above_lower_edge(outline))
    to_edge = np.minimum(to_edge, 0.7 * (1 - np.abs(ACROSS)))
    hem = rng.uniform(0.02, 0.09)
    amount = (to_edge < hem) if rng.random() < 0.6 else soft_line(to_edge, hem, 0.006)
    trim = draw_colour(rng) if rng.random() < 0.5 else fabric * rng.uniform(0.6, 1.3)
    return np.asarray(fabric + (trim - fabric) * np.asarray(amount, np.float32)[..., None], np.float32)


def _add_fittings(rng: np.random.Generator, family: Family, colour: FloatImage) -> FloatImage:
    """Add, sometimes, a valve, a nose clip, letters and a mouth."""
    out = np.ascontiguousarray(np.clip(np.rint(colour), 0, 255), np.uint8)
    if family in ("cup", "kn95", "duckbill", "cloth") and rng.random() < 0.35:
        _draw_valve(rng, out)
    if family in ("cup", "duckbill", "kn95", "pleated") and rng.random() < 0.4:
        metal = np.full(3, rng.uniform(90, 230)).tolist()
        half, y = round(rng.uniform(0.08, 0.22) * WIDTH), round(rng.uniform(0.05, 0.14) * HEIGHT)
        thickness = round(rng.uniform(4, 14))
        cv2.line(out, (WIDTH // 2 - half, y), (WIDTH // 2 + half, y), metal, thickness, cv2.LINE_AA)
    if rng.random() < 0.2:
        text = "".join(rng.choice(list("ABEHKMNORSTVX395"), int(rng.integers(2, 8))))
        at = (round(rng.uniform(0.1, 0.6) * WIDTH), round(rng.uniform(0.3, 0.8) * HEIGHT))
        size, thickness = rng.uniform(0.6, 2.5), int(rng.integers(1, 6))
        cv2.putText(out, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, draw_colour(rng).tolist(), thickness, cv2.LINE_AA)
    if rng.random() < 0.08:
        _draw_mouth(rng, out)
    return np.asarray(out, np.float32)


def _draw_valve(rng: np.random.Generator, out: ByteImage) -> None:
    """Draw a round exhalation valve in place."""
    radius = round(rng.uniform(0.07, 0.15) * HEIGHT)
    x = round((0.5 + rng.choice([0, rng.uniform(-0.25, 0.25)])) * WIDTH)
    y = round(rng.uniform(0.4, 0.7) * HEIGHT)
    tone = rng.uniform(20, 250, 3) if rng.random() < 0.3 else np.full(3, rng.uniform(30, 250))
    cv2.circle(out, (x, y), radius, (tone * 0.6).tolist(), -1, cv2.LINE_AA)
    cv2.circle(out, (x, y), round(radius * 0.88), tone.tolist(), -1, cv2.LINE_AA)
    for row in range(-2, 3):
        slit = y + round(row * radius * 0.3)
        cv2.line(out, (x - radius // 2, slit), (x + radius // 2, slit), (tone * 0.7).tolist(), 2, cv2.LINE_AA)


def _draw_mouth(rng: np.random.Generator, out: ByteImage) -> None:
    """Draw a printed mouth, an arc or a half ellipse, in place."""
    centre = (WIDTH // 2, round(rng.uniform(0.5, 0.75) * HEIGHT))
    half = round(rng.uniform(0.1, 0.3) * WIDTH)
    axes = (half, max(3, round(half * rng.uniform(0.1, 0.5))))
    start = float(rng.choice([0, 180]))
    thickness = -1 if rng.random() < 0.5 else 6
    cv2.ellipse(out, centre, axes, 0, start, start + 180, draw_colour(rng).tolist(), thickness, cv2.LINE_AA)
