"""Flat designs of the catalogue's masks: a plain fabric with the folds, seams and welds of its kind, of any size."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.masks.canvas import mask_coordinates, soft_line, soft_step
from pipeline.masks.catalogue import KINDS, WHITE, Colour, Kind, Outline
from pipeline.masks.designs import Family
from pipeline.masks.fit import MaskFit
from pipeline.masks.records import HEIGHT, WIDTH, ByteImage, FloatImage, MaskDesign
from pipeline.masks.textures import noise

_ELASTIC = (226, 229, 231)
_DARKEST, _LIGHTEST = 20, 242  # of 255: what cloth reflects. Pure black would show no folds, pure yellow would glow
MIN_WIDTH, MAX_WIDTH = 208, 1664  # px of a drawing: the larger fills a photo of 12 megapixels


@dataclass(frozen=True)
class _Flat:
    """The mask coordinates of a drawing's pixels, and the random numbers of one mask."""

    across: FloatImage  # (H, W) -1 to 1
    down: FloatImage  # (H, W) 0 to 1
    rng: np.random.Generator

    def noise(self, cells: int) -> FloatImage:
        height, width = self.across.shape
        return noise(self.rng, cells, height, width)

    def near(self, middle: float, spread: float) -> float:
        return float(self.rng.uniform(middle - spread, middle + spread))


def draw_kind(rng: np.random.Generator, name: str, fabric: Colour | ByteImage | None, width: int) -> MaskDesign:
    """Draw a mask of a kind, about `width` px wide.

    `fabric` is its colour, or an image (H, W, 3) RGB that is fitted to the mask; None: a colour of the kind.
    """
    kind = KINDS[name]
    width = int(np.clip(width, MIN_WIDTH, MAX_WIDTH))
    height = round(width * HEIGHT / WIDTH)
    flat = _Flat(*mask_coordinates(height, width), rng)
    colour = kind.colours[int(rng.integers(len(kind.colours)))]  # drawn in any case: all else is the same in any fabric
    chosen = colour if fabric is None else fabric
    plain = _as_image(chosen, height, width)
    if fabric is not None:
        plain = np.asarray(_DARKEST + plain * ((_LIGHTEST - _DARKEST) / 255), np.float32)
    relief, cloth = _relief(flat, kind, plain)
    drawing = np.dstack([np.clip(cloth * relief[..., None], 0, 255), _alpha(flat, kind.outline)])
    return MaskDesign(drawing.astype(np.float32), kind.straps, strap_colour(chosen))


def draw_kind_fit(rng: np.random.Generator, name: str) -> MaskFit:
    """Draw how a mask of a kind is worn: correctly, with small differences."""
    top, bottom, side = KINDS[name].reach
    jitter = rng.uniform(-1, 1, 5)
    return MaskFit(
        top=top + 0.03 * jitter[0],
        bottom=bottom + 0.05 * jitter[1],
        left=-side + 0.015 * jitter[2],
        right=side + 0.015 * jitter[2],
        tilt=0.02 * jitter[3],
        arch=0.16 + 0.03 * jitter[4],
    )


def _relief(flat: _Flat, kind: Kind, fabric: FloatImage) -> tuple[FloatImage, FloatImage]:
    """Return the shading of the worn mask (H, W), factors about 1, and the fabric (H, W, 3) with its trimmings."""
    shade = _roundness(flat) * _dents(flat) * _weave(flat, kind.family)
    match kind.family:
        case "surgical" | "pleated":
            shade = shade * _pleats(flat) * _welds(flat)
            fabric = _paler(fabric, 0.5 * _border(flat))
            if kind.family == "pleated":
                shade = shade * _nose_clip(flat)
        case "kn95":
            shade = shade * _middle_seam(flat, 0.10) * _edge_weld(flat, kind.outline, 0.045) * _nose_clip(flat)
        case "duckbill":
            shade = shade * _duckbill_folds(flat) * _edge_weld(flat, kind.outline, 0.05) * _nose_clip(flat)
        case "cup":
            shade = shade * _cup(flat) * _edge_weld(flat, kind.outline, 0.06) * _nose_clip(flat)
        case "cloth":
            shade = shade * _middle_seam(flat, 0.06) * _hem(flat, kind.outline, 0.06)
        case "snug":
            shade = shade * _middle_seam(flat, 0.14) * _edge_weld(flat, kind.outline, 0.025)
        case "gaiter":
            shade = shade * _drapes(flat) * _hem(flat, kind.outline, 0.03)
    return np.asarray(np.clip(shade, 0.25, 1.4), np.float32), fabric


def _roundness(flat: _Flat) -> FloatImage:
    """The shape of the face below: darker at the sides and below the chin, lighter along the nose."""
    sides = 1 - flat.near(0.24, 0.04) * np.abs(flat.across) ** 3
    chin = 1 - flat.near(0.2, 0.04) / (1 + np.exp(-(flat.down - 0.86) / 0.05))
    upper = soft_step(flat.down, 0.48, -0.08)
    ridge = 1 + 0.06 * soft_line(flat.across, 0, 0.16) * upper
    flanks = 1 - 0.06 * soft_line(np.abs(flat.across), 0.36, 0.13) * upper
    return np.asarray(sides * chin * ridge * flanks, np.float32)


def _dents(flat: _Flat) -> FloatImage:
    """Soft unevenness of the fabric."""
    field = 0.5 * flat.noise(3) + 0.4 * flat.noise(6) + 0.2 * flat.noise(13)
    return np.asarray(1 + flat.near(0.035, 0.015) * field, np.float32)


def _weave(flat: _Flat, family: Family) -> FloatImage:
    """The grain of the fabric: of felted fibres, or of woven threads."""
    height, width = flat.across.shape
    rng = np.random.default_rng(int(flat.rng.integers(1 << 63)))  # a larger drawing takes more numbers
    fibres = cv2.GaussianBlur(rng.standard_normal((height, width), np.float32), (0, 0), width / 420)
    grain = np.asarray(fibres / max(1e-6, float(fibres.std())), np.float32)
    if family not in ("cloth", "gaiter"):
        return np.asarray(1 + 0.012 * grain, np.float32)
    threads = np.sin(flat.down * 900) * 0.5 + np.sin(flat.across * 650) * 0.5
    return np.asarray(1 + 0.014 * grain + 0.02 * threads, np.float32)


def _pleats(flat: _Flat) -> FloatImage:
    """Three pleats that open towards the middle: a sharp edge with a shadow below it and a highlight above."""
    out, depth = np.ones_like(flat.down), flat.near(0.26, 0.06)
    for number, height in enumerate((0.30, 0.50, 0.70)):
        spread = 1 - 0.16 * flat.across**2
        sag = 0.02 * (number - 1) * (1 - flat.across**2) + 0.006 * flat.noise(2)
        line = np.asarray(0.5 + (height + flat.near(0, 0.02) - 0.5) * spread + sag, np.float32)
        below = np.clip(flat.down - line, 0, None)
        out = out * (1 - depth * np.exp(-below / 0.022) / (1 + np.exp(np.clip((line - flat.down) / 0.0025, -30, 30))))
        out = out * (1 + 0.3 * depth * soft_line(flat.down, line - 0.014, 0.010))
        out = out * (1 - 0.25 * depth * soft_line(flat.down, line + 0.06, 0.03))
    return np.asarray(out, np.float32)


def _border(flat: _Flat) -> FloatImage:
    """The folded borders, (H, W) 0-1."""
    upper = soft_step(flat.down, 0.085, -0.004)
    lower = soft_step(flat.down, 0.955, 0.004)
    sides = soft_step(np.abs(flat.across), 0.955, 0.004)
    return np.asarray(np.clip(upper + 0.6 * lower + 0.5 * sides, 0, 1), np.float32)


def _welds(flat: _Flat) -> FloatImage:
    """The nose wire, and the dotted welds along the borders."""
    middle = soft_line(flat.across, 0, 0.35)
    wire = middle * (0.06 * soft_line(flat.down, 0.036, 0.008) - 0.09 * soft_line(flat.down, 0.056, 0.006))
    rows = sum(soft_line(flat.down, height, 0.0045) for height in (0.080, 0.100, 0.952)) * (
        np.sin(flat.across * 150) > 0
    )
    columns = soft_line(np.abs(flat.across), 0.950, 0.006) * (np.sin(flat.down * 190) > 0)
    return np.asarray((1 + wire) * (1 - 0.14 * np.clip(rows + columns, 0, 1)), np.float32)


def _nose_clip(flat: _Flat) -> FloatImage:
    """A strip of metal under the fabric, over the bridge of the nose."""
    within = soft_step(np.abs(flat.across), 0.2, -0.006)
    relief = 0.08 * soft_line(flat.down, 0.085, 0.012) - 0.12 * soft_line(flat.down, 0.11, 0.007)
    return np.asarray(1 + within * relief, np.float32)


def _middle_seam(flat: _Flat, depth: float) -> FloatImage:
    """A vertical seam; the halves are differently lit, as they face two ways."""
    line = flat.near(0, 0.012) + 0.012 * np.sin(np.pi * flat.down)
    halves = flat.near(0, 0.05) * np.tanh((flat.across - line) / 0.12)
    ridge = depth * (0.4 * soft_line(flat.across, line - 0.008, 0.006) - soft_line(flat.across, line + 0.008, 0.006))
    puckers = 0.02 * soft_line(flat.across, line, 0.08) * np.sin(flat.down * flat.near(70, 10))
    return np.asarray((1 + halves) * (1 + ridge + puckers), np.float32)


def _duckbill_folds(flat: _Flat) -> FloatImage:
    """The fold across the duckbill: the lower half faces down, and is darker."""
    fold = flat.near(0.55, 0.03) + 0.1 * flat.across**2
    lower = soft_step(flat.down, fold, 0.012)
    edge = 0.07 * soft_line(flat.down, fold - 0.014, 0.01) - 0.12 * soft_line(flat.down, fold + 0.006, 0.007)
    return np.asarray((1 - flat.near(0.15, 0.03) * lower) * (1 + edge), np.float32)


def _cup(flat: _Flat) -> FloatImage:
    """A moulded shell: a highlight above the middle, and a ridge around it."""
    distance = np.hypot(flat.across, 2 * flat.down - 1)
    ridge = 0.06 * soft_line(distance, 0.72, 0.02) - 0.08 * soft_line(distance, 0.77, 0.02)
    shine = 0.1 * soft_line(np.hypot(flat.across, 1.6 * flat.down - 0.6), 0, 0.45)
    return np.asarray((1 + ridge) * (0.98 + shine) * (1 - 0.12 * distance**2), np.float32)


def _drapes(flat: _Flat) -> FloatImage:
    """Folds of a loose tube, which hang from the sides."""
    out = np.ones_like(flat.down)
    for height in np.linspace(0.2, 0.95, 6):
        sag = flat.near(0.1, 0.06) * (1 - flat.across**2) + 0.02 * flat.noise(3)
        line = np.asarray(height + flat.near(0, 0.04) + sag, np.float32)
        strength, width = flat.near(0.12, 0.05), flat.near(0.022, 0.008)
        fold = soft_line(flat.down, line, width) - 0.6 * soft_line(flat.down, line - 2 * width, width)
        out *= np.asarray(1 - strength * fold * (0.35 + 0.65 * np.abs(flat.across)), np.float32)
    return out


def _edge_weld(flat: _Flat, outline: Outline, width: float) -> FloatImage:
    """A pressed line along the edge."""
    edge = _to_edge(flat, outline)
    return np.asarray(
        1 - 0.1 * soft_line(edge, width, 0.006) + 0.05 * soft_line(edge, width + 0.014, 0.008), np.float32
    )


def _hem(flat: _Flat, outline: Outline, width: float) -> FloatImage:
    """A folded hem with a stitched line."""
    edge = _to_edge(flat, outline)
    stitches = np.sin((flat.across + flat.down) * 160) > -0.2
    seam = soft_line(edge, width, 0.005) * (0.16 * stitches + 0.06)
    return np.asarray((1 + 0.04 * (edge < width)) * (1 - seam), np.float32)


def _to_edge(flat: _Flat, outline: Outline) -> FloatImage:
    """Distance to the nearest edge, in heights of the mask; negative outside."""
    side = np.abs(flat.across)
    top = flat.down - outline.upper_drop * side**outline.upper_power
    bottom = 1 - outline.lower_rise * side**outline.lower_power - flat.down
    sides = (1 - outline.taper * np.abs(2 * flat.down - 1) ** 1.5 - side) * WIDTH / HEIGHT / 2
    # Corners are rounded where two edges are nearer than the radius.
    radius = outline.corner_radius / 2
    beyond = [np.maximum(radius - distance, 0) for distance in (top, bottom, sides)]
    rounded = radius - np.sqrt(sum(part**2 for part in beyond))
    nearest = np.minimum(np.minimum(top, bottom), sides)
    return np.asarray(np.where(rounded < radius, np.minimum(nearest, rounded), nearest), np.float32)


def outline_alpha(outline: Outline, height: int, width: int) -> FloatImage:
    """The inside of an outline, (height, width) 0-1, as the kinds have it."""
    return _alpha(_Flat(*mask_coordinates(height, width), np.random.default_rng(0)), outline)


def _alpha(flat: _Flat, outline: Outline) -> FloatImage:
    """The inside of the outline, (H, W) 0-1, with an edge of two pixels."""
    height = len(flat.down)
    edge = _to_edge(flat, outline) + 0.0015 * flat.noise(9)
    return np.asarray(np.clip(edge * height / 2 - 1, 0, 1), np.float32)


def _paler(fabric: FloatImage, amount: FloatImage) -> FloatImage:
    """Mix the fabric with the white of its inner side."""
    return np.asarray(fabric + (np.array(WHITE, np.float32) - fabric) * 0.8 * amount[..., None], np.float32)


def _as_image(fabric: Colour | ByteImage, height: int, width: int) -> FloatImage:
    """(height, width, 3): one colour, or the middle of an image, as large as it fits."""
    if not isinstance(fabric, np.ndarray):
        return np.full((height, width, 3), fabric, np.float32)
    scale = max(height / fabric.shape[0], width / fabric.shape[1])
    part_height, part_width = (max(1, round(length / scale)) for length in (height, width))
    top, left = max(0, fabric.shape[0] - part_height) // 2, max(0, fabric.shape[1] - part_width) // 2
    part = fabric[top : top + part_height, left : left + part_width]
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(part, (width, height), interpolation=method), np.float32)


def strap_colour(fabric: Colour | ByteImage) -> FloatImage:
    """White elastic; dark on a dark mask."""
    mean: NDArray[Any] = np.mean(np.reshape(fabric, (-1, 3)), axis=0)
    return np.asarray(_ELASTIC if float(mean.mean()) > 85 else mean * 0.8 + 8, np.float32)
