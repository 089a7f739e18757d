"""Things in front of or on a face that are not masks: hands, beards, microphones, scarves, glasses, hair, shadows."""

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np

from pipeline.faces.regions import FACE_OVAL
from pipeline.masks.compositing import Layer, blend, to_bytes
from pipeline.masks.fit import face_width
from pipeline.masks.records import FloatImage, Points, UnmaskedFace
from pipeline.masks.textures import draw_colour, draw_texture, noise

Draw = Callable[[np.random.Generator, FloatImage, Points], Layer]
"""Draws an occluder on a picture (H, W, 3), RGB 0-255, of a face with landmarks (478, 2) in px."""


def add_occluder(rng: np.random.Generator, face: UnmaskedFace, over_mask: bool) -> tuple[UnmaskedFace, FloatImage]:
    """Add one occluder, of a kind that may hide a mask where `over_mask`; return its alpha (H, W) too."""
    height, width = face.image.shape[:2]
    picture = face.image.astype(np.float32)
    landmarks = face.landmarks.astype(np.float64) * (width, height) - 0.5
    kinds = _OVER_MASK if over_mask else _KINDS
    layer = kinds[int(rng.integers(len(kinds)))](rng, picture, landmarks)
    return replace(face, image=to_bytes(blend(picture, layer))), layer.alpha


def _skin_colour(picture: FloatImage, face: Points) -> FloatImage:
    """The median colour, (3,), of the cheeks and the forehead."""
    height, width = picture.shape[:2]
    at = np.rint(face[[50, 280, 151]]).astype(int).clip(0, (width - 1, height - 1))
    return np.asarray(np.median(picture[at[:, 1], at[:, 0]], axis=0), np.float32)


def _fill(shape: tuple[int, ...], polygons: list[Points], sigma: float) -> FloatImage:
    """Fill polygons, px: (H, W) 0-1, blurred by `sigma` px."""
    drawn = np.zeros(shape[:2], np.uint8)
    for polygon in polygons:
        cv2.fillPoly(drawn, [np.rint(polygon * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    out = np.asarray(drawn / 255.0, np.float32)
    return np.asarray(cv2.GaussianBlur(out, (0, 0), sigma), np.float32) if sigma > 0.3 else out


def _ellipse(centre: Points, axes: tuple[float, float], angle: float) -> Points:
    """An ellipse as a polygon (40, 2)."""
    along = np.linspace(0, 2 * np.pi, 40)
    x, y = axes[0] * np.cos(along), axes[1] * np.sin(along)
    cos, sin = np.cos(angle), np.sin(angle)
    return np.asarray(centre + np.column_stack([x * cos - y * sin, x * sin + y * cos]))


def _shaded(rng: np.random.Generator, shape: tuple[int, ...], colour: FloatImage, strength: float = 0.15) -> FloatImage:
    """A colour with smooth random shading, (H, W, 3)."""
    height, width = shape[:2]
    shade = 1 + strength * noise(rng, int(rng.integers(2, 7)), height, width)
    return np.asarray(colour * shade[..., None], np.float32)


def _fabric(rng: np.random.Generator, picture: FloatImage) -> FloatImage:
    """A random fabric, (H, W, 3)."""
    fabric = draw_texture(rng)
    size = (picture.shape[1], picture.shape[0])
    resized = np.asarray(cv2.resize(fabric, size, interpolation=cv2.INTER_AREA), np.float32)
    return np.asarray(resized * (1 + 0.2 * noise(rng, 6, *picture.shape[:2]))[..., None], np.float32)


def _hand(rng: np.random.Generator, picture: FloatImage, face: Points) -> Layer:
    """A palm and some fingers, in the person's skin colour."""
    unit = face_width(face)
    fingertips = face[[1, 13, 152, 205, 425]][int(rng.integers(5))] + rng.normal(0, 0.08, 2) * unit
    angle = rng.uniform(-np.pi, np.pi)
    forward = np.array([np.cos(angle), np.sin(angle)])
    beside = np.array([-forward[1], forward[0]])
    colour = _shaded(rng, picture.shape, _skin_colour(picture, face) * np.float32(rng.uniform(0.75, 1.15)))
    alpha = np.zeros(picture.shape[:2], np.float32)
    palm = fingertips - forward * unit * rng.uniform(0.3, 0.55)
    shapes = [_ellipse(palm, (0.3 * unit, 0.24 * unit), angle)] if rng.random() < 0.7 else []
    spread = rng.uniform(0.085, 0.12)
    for finger in range(int(rng.integers(1, 5))):
        centre = fingertips + beside * unit * spread * (finger - 1.5) + forward * unit * rng.uniform(-0.1, 0.1)
        shapes.append(_ellipse(centre, (rng.uniform(0.2, 0.35) * unit, 0.05 * unit), angle + rng.normal(0, 0.06)))
    for shape in shapes:
        part = _fill(picture.shape, [shape], 0.6)
        inner = np.asarray(cv2.GaussianBlur(part, (0, 0), 0.02 * unit + 0.5), np.float32)
        colour = colour * (1 - 0.45 * (1 - inner) * part)[..., None]  # darker at the edge
        alpha = np.maximum(alpha, part)
    return Layer(colour, alpha)


def _beard(rng: np.random.Generator, picture: FloatImage, face: Points) -> Layer:
    """Hair on the jaw and the upper lip; the lips stay free."""
    unit = face_width(face)
    jaw = face[[93, 58, 172, 150, 148, 152, 377, 379, 397, 288, 323]]
    top = face[[425, 2, 205]] if rng.random() < 0.6 else face[[434, 17, 214]]
    polygon = np.vstack([jaw + np.array([0, rng.uniform(0, 0.12) * unit]), top])
    lips = face[[61, 40, 37, 0, 267, 270, 291, 321, 314, 17, 84, 91]]
    area = _fill(picture.shape, [polygon], rng.uniform(0.01, 0.05) * unit)
    area = area * (1 - _fill(picture.shape, [lips], 0.015 * unit))
    tone = np.array([rng.uniform(15, 60)] * 3) if rng.random() < 0.5 else rng.uniform((60, 40, 20), (220, 200, 190))
    grain = rng.normal(0, 1, picture.shape[:2]).astype(np.float32)
    grain = np.asarray(cv2.GaussianBlur(grain, (0, 0), rng.uniform(0.5, 1.5)), np.float32)
    colour = np.asarray(tone, np.float32) * (1 + rng.uniform(0.2, 0.7) * grain / (grain.std() + 1e-6))[..., None]
    density = np.clip(rng.uniform(0.5, 1.0) + 0.25 * grain / (grain.std() + 1e-6), 0, 1)
    return Layer(np.asarray(colour, np.float32), np.asarray(area * density, np.float32))


def _microphone(rng: np.random.Generator, picture: FloatImage, face: Points) -> Layer:
    """A ball and a handle in front of the mouth."""
    unit = face_width(face)
    centre = face[13] + rng.normal(0, 0.16, 2) * unit + (0, 0.1 * unit)
    radius, angle = rng.uniform(0.07, 0.2) * unit, rng.uniform(0.2, np.pi - 0.2)
    end = centre + 1.5 * unit * np.array([np.cos(angle), np.sin(angle)])
    beside = np.array([-np.sin(angle), np.cos(angle)]) * radius * 0.5
    ball = _ellipse(centre, (radius, radius * rng.uniform(0.8, 1.3)), angle)
    handle = np.array([centre + beside, end + beside, end - beside, centre - beside])
    alpha = _fill(picture.shape, [ball, handle], 0.5)
    tone = np.full(3, rng.uniform(5, 70), np.float32) if rng.random() < 0.7 else draw_colour(rng)
    grid = noise(rng, 60, *picture.shape[:2])
    return Layer(np.asarray(_shaded(rng, picture.shape, tone) * (1 + 0.25 * grid)[..., None], np.float32), alpha)


def _object(rng: np.random.Generator, picture: FloatImage, face: Points) -> Layer:
    """A patterned object smaller than a mask, on the lower face or the forehead: a cup, a phone, food, a flower."""
    unit = face_width(face)
    centre = face[[1, 13, 152, 205, 425, 10]][int(rng.integers(6))] + rng.normal(0, 0.2, 2) * unit
    axes, angle = (rng.uniform(0.06, 0.28) * unit, rng.uniform(0.06, 0.28) * unit), rng.uniform(0, np.pi)
    shape = _ellipse(centre, axes, angle)
    if rng.random() < 0.5:
        shape = shape[::10]  # a quadrangle
    return Layer(_fabric(rng, picture), _fill(picture.shape, [shape], rng.uniform(0.2, 1.5)))


def _scarf(rng: np.random.Generator, picture: FloatImage, face: Points) -> Layer:
    """Fabric around the neck, up to the jaw: collars, scarves, blue shirts."""
    unit, height = face_width(face), picture.shape[0]
    lower = np.array([0, 1.0]) * unit * rng.uniform(-0.02, 0.25)
    edge = face[[132, 172, 150, 152, 379, 397, 361]] + lower
    sag = np.array([-0.1, -0.02, 0.03, 0.06, 0.03, -0.02, -0.1]) * rng.uniform(-1.5, 1.0)
    edge = edge + np.column_stack([np.linspace(-0.12, 0.12, 7), sag]) * unit
    left, right = edge[0, 0] - unit, edge[-1, 0] + unit
    corners = [(right, edge[-1, 1]), (right, 2 * height), (left, 2 * height), (left, edge[0, 1])]
    return Layer(_fabric(rng, picture), _fill(picture.shape, [np.vstack([edge, corners])], 0.6))


def _sunglasses(rng: np.random.Generator, picture: FloatImage, face: Points) -> Layer:
    """Two lenses and a bridge."""
    unit = face_width(face)
    angle = float(np.arctan2(*(face[263] - face[33])[::-1]))
    axes = (rng.uniform(0.15, 0.24) * unit, rng.uniform(0.09, 0.18) * unit)
    lenses = [_ellipse(face[corners].mean(axis=0), axes, angle) for corners in ([33, 133], [263, 362])]
    upper, lower = face[[168, 6]] + (0, -0.01 * unit)
    half = np.array([0.1 * unit, 0])
    bridge = np.array([upper - half, upper + half, lower + half, lower - half])
    tone = np.full(3, rng.uniform(5, 60), np.float32) if rng.random() < 0.7 else draw_colour(rng)
    alpha = _fill(picture.shape, [*lenses, bridge], 0.4) * np.float32(rng.uniform(0.6, 1))
    return Layer(_shaded(rng, picture.shape, tone, 0.4), alpha)


def _hair(rng: np.random.Generator, picture: FloatImage, face: Points) -> Layer:
    """Strands at the sides of the face or across it."""
    unit = face_width(face)
    drawn = np.zeros(picture.shape[:2], np.uint8)
    for _ in range(int(rng.integers(5, 60))):
        side = rng.choice([-1, 1])
        start = face[10] + (side * rng.uniform(0, 0.5) * unit, -0.3 * unit)
        middle = face[234 if side < 0 else 454] + rng.normal(0, 0.12, 2) * unit
        end = face[172 if side < 0 else 397] + rng.normal(0, 0.15, 2) * unit + (0, 0.4 * unit)
        along = np.linspace(0, 1, 16)[:, None]
        curve = (1 - along) ** 2 * start + 2 * along * (1 - along) * middle + along**2 * end
        ticks = np.rint(curve * 16).astype(np.int32)
        cv2.polylines(drawn, [ticks], False, 255, int(rng.integers(1, 5)), cv2.LINE_AA, 4)
    tone = rng.uniform(10, 60, 3) if rng.random() < 0.6 else rng.uniform((80, 60, 30), (230, 200, 150))
    colour = _shaded(rng, picture.shape, np.asarray(tone, np.float32), 0.5)
    return Layer(colour, np.asarray(drawn / 255.0, np.float32))


def _paint(rng: np.random.Generator, picture: FloatImage, face: Points) -> Layer:
    """Translucent paint or make-up on the skin."""
    blobs = noise(rng, int(rng.integers(2, 8)), *picture.shape[:2])
    inside = _fill(picture.shape, [face[list(FACE_OVAL)]], 2.0)
    alpha = inside * np.clip(0.5 + 4 * blobs, 0, 1) * np.float32(rng.uniform(0.15, 0.6))
    return Layer(_shaded(rng, picture.shape, draw_colour(rng)), np.asarray(alpha, np.float32))


def _shadow(rng: np.random.Generator, picture: FloatImage, face: Points) -> Layer:
    """A shadow or coloured light, with an edge across the face."""
    unit, angle = face_width(face), rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[0 : picture.shape[0], 0 : picture.shape[1]].astype(np.float32)
    centre = face[[1, 13, 168][int(rng.integers(3))]]
    distance = ((x - centre[0]) * np.cos(angle) + (y - centre[1]) * np.sin(angle)) / unit
    alpha = np.clip(0.5 + distance / rng.uniform(0.02, 0.8), 0, 1)
    tint = draw_colour(rng) / 255 if rng.random() < 0.5 else np.full(3, rng.uniform(0.1, 0.6), np.float32)
    return Layer(np.asarray(picture * tint, np.float32), np.asarray(alpha * rng.uniform(0.4, 0.9), np.float32))


def _hat(rng: np.random.Generator, picture: FloatImage, face: Points) -> Layer:
    """A hat or headscarf of fabric, down to the forehead or the brows."""
    unit = face_width(face)
    edge = face[[127, 70, 107, 336, 300, 356]] - (0, rng.uniform(0.0, 0.2) * unit)
    crown = face[[356, 10, 127]] + np.array([(0.3, -0.6), (0, -1.0), (-0.3, -0.6)]) * unit
    return Layer(_fabric(rng, picture), _fill(picture.shape, [np.vstack([edge, crown])], 0.6))


# Each is drawn as often as it is listed.
_KINDS: tuple[Draw, ...] = (_hand, _hand, _beard, _beard, _microphone, _object, _scarf, _scarf, _sunglasses, _hair,
                            _paint, _shadow, _shadow, _hat)  # fmt: skip
_OVER_MASK: tuple[Draw, ...] = (_sunglasses, _hair, _shadow, _hat, _scarf, _beard, _sunglasses)
