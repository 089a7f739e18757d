"""What lies before or on a face and is no mask: hands, beards, microphones, scarves, glasses, hair, paint, light."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.masks.surgical import Picture
from pipeline.masks.textures import draw_colour, draw_texture, noise
from pipeline.synthetic.portraits import OVAL, Points

Layer = tuple[Picture, Picture]
"""Colours (H, W, 3) RGB and alpha (H, W)."""
Draw = Callable[[np.random.Generator, Picture, Points], Layer]


def add_occluders(
    rng: np.random.Generator, image: NDArray[np.uint8], points: NDArray[np.float32], over_mask: bool
) -> tuple[NDArray[np.uint8], Picture]:
    """One thing before the face; gives the picture, and 0-1 where the thing hides what was there."""
    height, width = image.shape[:2]
    picture = image.astype(np.float32)
    face = points.astype(np.float64) * (width, height) - 0.5
    kinds = _OVER_MASK if over_mask else _KINDS
    colours, alpha = kinds[int(rng.integers(len(kinds)))](rng, picture, face)
    out = picture + (colours - picture) * alpha[..., None]
    return np.asarray(np.clip(np.rint(out), 0, 255), np.uint8), alpha


def _unit(face: Points) -> float:
    return float(np.hypot(*(face[454] - face[234])))


def _skin(picture: Picture, face: Points) -> Picture:
    """The colour of a cheek or the brow, (3,)."""
    height, width = picture.shape[:2]
    at = np.rint(face[[50, 280, 151]]).astype(int).clip(0, (width - 1, height - 1))
    return np.asarray(np.median(picture[at[:, 1], at[:, 0]], axis=0), np.float32)


def _filled(shape: tuple[int, ...], polygons: list[Points], soft: float) -> Picture:
    drawn = np.zeros(shape[:2], np.uint8)
    for polygon in polygons:
        cv2.fillPoly(drawn, [np.rint(polygon * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    out = np.asarray(drawn / 255.0, np.float32)
    return np.asarray(cv2.GaussianBlur(out, (0, 0), soft), np.float32) if soft > 0.3 else out


def _ellipse(middle: Points, axes: tuple[float, float], turn: float) -> Points:
    along = np.linspace(0, 2 * np.pi, 40)
    x, y = axes[0] * np.cos(along), axes[1] * np.sin(along)
    return np.asarray(
        middle + np.column_stack([x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)])
    )


def _shaded(rng: np.random.Generator, shape: tuple[int, ...], colour: Picture, strength: float = 0.15) -> Picture:
    height, width = shape[:2]
    shade = 1 + strength * noise(rng, int(rng.integers(2, 7)), height, width)
    return np.asarray(colour * shade[..., None], np.float32)


def _hand(rng: np.random.Generator, picture: Picture, face: Points) -> Layer:
    """A palm and some fingers in the person's own skin."""
    unit, at = _unit(face), face[[1, 13, 152, 205, 425]][int(rng.integers(5))] + rng.normal(0, 0.08, 2) * _unit(face)
    turn = rng.uniform(-np.pi, np.pi)
    forward = np.array([np.cos(turn), np.sin(turn)])
    beside = np.array([-forward[1], forward[0]])
    colours = _shaded(rng, picture.shape, _skin(picture, face) * np.float32(rng.uniform(0.75, 1.15)))
    alpha = np.zeros(picture.shape[:2], np.float32)
    palm = at - forward * unit * rng.uniform(0.3, 0.55)
    shapes = [_ellipse(palm, (0.3 * unit, 0.24 * unit), turn)] if rng.random() < 0.7 else []
    spread = rng.uniform(0.085, 0.12)
    for finger in range(int(rng.integers(1, 5))):
        middle = at + beside * unit * spread * (finger - 1.5) + forward * unit * rng.uniform(-0.1, 0.1)
        shapes.append(_ellipse(middle, (rng.uniform(0.2, 0.35) * unit, 0.05 * unit), turn + rng.normal(0, 0.06)))
    for shape in shapes:
        one = _filled(picture.shape, [shape], 0.6)
        rim = np.asarray(cv2.GaussianBlur(one, (0, 0), 0.02 * unit + 0.5), np.float32)
        colours = colours * (1 - 0.45 * (1 - rim) * one)[..., None]
        alpha = np.maximum(alpha, one)
    return colours, alpha


def _beard(rng: np.random.Generator, picture: Picture, face: Points) -> Layer:
    """Hair over jaw and upper lip, the mouth left free."""
    unit = _unit(face)
    jaw = face[[93, 58, 172, 150, 148, 152, 377, 379, 397, 288, 323]]
    top = face[[425, 2, 205]] if rng.random() < 0.6 else face[[434, 17, 214]]
    polygon = np.vstack([jaw + np.array([0, rng.uniform(0, 0.12) * unit]), top])
    lips = face[[61, 40, 37, 0, 267, 270, 291, 321, 314, 17, 84, 91]]
    covered = _filled(picture.shape, [polygon], rng.uniform(0.01, 0.05) * unit)
    covered = covered * (1 - _filled(picture.shape, [lips], 0.015 * unit))
    tone = np.array([rng.uniform(15, 60)] * 3) if rng.random() < 0.5 else rng.uniform((60, 40, 20), (220, 200, 190))
    grain = rng.normal(0, 1, picture.shape[:2]).astype(np.float32)
    grain = np.asarray(cv2.GaussianBlur(grain, (0, 0), rng.uniform(0.5, 1.5)), np.float32)
    colours = np.asarray(tone, np.float32) * (1 + rng.uniform(0.2, 0.7) * grain / (grain.std() + 1e-6))[..., None]
    thick = np.clip(rng.uniform(0.5, 1.0) + 0.25 * grain / (grain.std() + 1e-6), 0, 1)
    return np.asarray(colours, np.float32), np.asarray(covered * thick, np.float32)


def _microphone(rng: np.random.Generator, picture: Picture, face: Points) -> Layer:
    unit, at = _unit(face), face[13] + rng.normal(0, 0.16, 2) * _unit(face) + (0, 0.1 * _unit(face))
    size, turn = rng.uniform(0.07, 0.2) * unit, rng.uniform(0.2, np.pi - 0.2)
    end = at + 1.5 * unit * np.array([np.cos(turn), np.sin(turn)])
    beside = np.array([-np.sin(turn), np.cos(turn)]) * size * 0.5
    ball = _ellipse(at, (size, size * rng.uniform(0.8, 1.3)), turn)
    alpha = _filled(picture.shape, [ball, np.array([at + beside, end + beside, end - beside, at - beside])], 0.5)
    tone = np.full(3, rng.uniform(5, 70), np.float32) if rng.random() < 0.7 else draw_colour(rng)
    grid = noise(rng, 60, *picture.shape[:2])
    return np.asarray(_shaded(rng, picture.shape, tone) * (1 + 0.25 * grid)[..., None], np.float32), alpha


def _thing(rng: np.random.Generator, picture: Picture, face: Points) -> Layer:
    """A cup, a phone, food, a flower: a patterned thing smaller than a mask, anywhere on the lower face."""
    unit = _unit(face)
    at = face[[1, 13, 152, 205, 425, 10]][int(rng.integers(6))] + rng.normal(0, 0.2, 2) * unit
    axes, turn = (rng.uniform(0.06, 0.28) * unit, rng.uniform(0.06, 0.28) * unit), rng.uniform(0, np.pi)
    shape = _ellipse(at, axes, turn)
    if rng.random() < 0.5:
        shape = shape[::10]
    return _texture(rng, picture), _filled(picture.shape, [shape], rng.uniform(0.2, 1.5))


def _texture(rng: np.random.Generator, picture: Picture) -> Picture:
    cloth = draw_texture(rng)
    size = (picture.shape[1], picture.shape[0])
    laid = np.asarray(cv2.resize(cloth, size, interpolation=cv2.INTER_AREA), np.float32)
    return np.asarray(laid * (1 + 0.2 * noise(rng, 6, *picture.shape[:2]))[..., None], np.float32)


def _scarf(rng: np.random.Generator, picture: Picture, face: Points) -> Layer:
    """Cloth about the neck, up to the jaw: collars, scarves, blue shirts."""
    unit, height = _unit(face), picture.shape[0]
    down = np.array([0, 1.0]) * unit * rng.uniform(-0.02, 0.25)
    jaw = face[[132, 172, 150, 152, 379, 397, 361]] + down
    sag = np.array([-0.1, -0.02, 0.03, 0.06, 0.03, -0.02, -0.1]) * rng.uniform(-1.5, 1.0)
    jaw = jaw + np.column_stack([np.linspace(-0.12, 0.12, 7), sag]) * unit
    corners = np.array(
        [
            [jaw[-1, 0] + unit, jaw[-1, 1]],
            [jaw[-1, 0] + unit, 2 * height],
            [jaw[0, 0] - unit, 2 * height],
            [jaw[0, 0] - unit, jaw[0, 1]],
        ]
    )
    return _texture(rng, picture), _filled(picture.shape, [np.vstack([jaw, corners])], 0.6)


def _sunglasses(rng: np.random.Generator, picture: Picture, face: Points) -> Layer:
    unit = _unit(face)
    turn = float(np.arctan2(*(face[263] - face[33])[::-1]))
    wide, tall = rng.uniform(0.15, 0.24) * unit, rng.uniform(0.09, 0.18) * unit
    lenses = [_ellipse(face[pair].mean(axis=0), (wide, tall), turn) for pair in ([33, 133], [263, 362])]
    bridge = face[[168, 6]] + (0, -0.01 * unit)
    bar = np.array(
        [
            bridge[0] + (-0.1 * unit, 0),
            bridge[0] + (0.1 * unit, 0),
            bridge[1] + (0.1 * unit, 0),
            bridge[1] + (-0.1 * unit, 0),
        ]
    )
    tone = np.full(3, rng.uniform(5, 60), np.float32) if rng.random() < 0.7 else draw_colour(rng)
    alpha = _filled(picture.shape, [*lenses, bar], 0.4) * np.float32(rng.uniform(0.6, 1))
    return _shaded(rng, picture.shape, tone, 0.4), alpha


def _hair(rng: np.random.Generator, picture: Picture, face: Points) -> Layer:
    """Strands down one side or both, or across the face."""
    unit = _unit(face)
    drawn = np.zeros(picture.shape[:2], np.uint8)
    for _ in range(int(rng.integers(5, 60))):
        side = rng.choice([-1, 1])
        start = face[10] + (side * rng.uniform(0, 0.5) * unit, -0.3 * unit)
        middle = face[234 if side < 0 else 454] + rng.normal(0, 0.12, 2) * unit
        end = face[172 if side < 0 else 397] + rng.normal(0, 0.15, 2) * unit + (0, 0.4 * unit)
        along = np.linspace(0, 1, 16)[:, None]
        curve = (1 - along) ** 2 * start + 2 * along * (1 - along) * middle + along**2 * end
        cv2.polylines(
            drawn, [np.rint(curve * 16).astype(np.int32)], False, 255, int(rng.integers(1, 5)), cv2.LINE_AA, 4
        )
    tone = rng.uniform(10, 60, 3) if rng.random() < 0.6 else rng.uniform((80, 60, 30), (230, 200, 150))
    return _shaded(rng, picture.shape, np.asarray(tone, np.float32), 0.5), np.asarray(drawn / 255.0, np.float32)


def _paint(rng: np.random.Generator, picture: Picture, face: Points) -> Layer:
    """Paint, make-up or shade on the skin: the face's own relief shows through."""
    blob = noise(rng, int(rng.integers(2, 8)), *picture.shape[:2])
    inside = _filled(picture.shape, [face[list(OVAL)]], 2.0)
    alpha = inside * np.clip(0.5 + 4 * blob, 0, 1) * np.float32(rng.uniform(0.15, 0.6))
    return _shaded(rng, picture.shape, draw_colour(rng)), np.asarray(alpha, np.float32)


def _shade(rng: np.random.Generator, picture: Picture, face: Points) -> Layer:
    """A hard shadow or coloured light whose edge runs across the face."""
    unit, turn = _unit(face), rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[0 : picture.shape[0], 0 : picture.shape[1]].astype(np.float32)
    middle = face[[1, 13, 168][int(rng.integers(3))]]
    away = ((x - middle[0]) * np.cos(turn) + (y - middle[1]) * np.sin(turn)) / unit
    side = np.clip(0.5 + away / rng.uniform(0.02, 0.8), 0, 1)
    tint = draw_colour(rng) / 255 if rng.random() < 0.5 else np.full(3, rng.uniform(0.1, 0.6), np.float32)
    return np.asarray(picture * tint, np.float32), np.asarray(side * rng.uniform(0.4, 0.9), np.float32)


def _hat(rng: np.random.Generator, picture: Picture, face: Points) -> Layer:
    unit = _unit(face)
    low = face[[127, 70, 107, 336, 300, 356]] - (0, rng.uniform(0.0, 0.2) * unit)
    polygon = np.vstack([low, face[[356, 10, 127]] + np.array([(0.3, -0.6), (0, -1.0), (-0.3, -0.6)]) * unit])
    return _texture(rng, picture), _filled(picture.shape, [polygon], 0.6)


_KINDS: tuple[Draw, ...] = (_hand, _hand, _beard, _beard, _microphone, _thing, _scarf, _scarf, _sunglasses, _hair,
                            _paint, _shade, _shade, _hat)  # fmt: skip
_OVER_MASK: tuple[Draw, ...] = (_sunglasses, _hair, _shade, _hat, _scarf, _beard, _sunglasses)
