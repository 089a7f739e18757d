"""Hair and cloth that hang before an ear: ear loops go under them, and so do the sides of the sheet.

A side of the face is sampled as a strip along the outline. Ten measures of its colours say whether an ear is covered
(logistic regression); then GrabCut (Rother, Kolmogorov, Blake 2004) separates what covers it from the cheek. Where an
ear is seen, nothing is hidden: loops lie over short hair and sideburns.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.masks.compositing import Layer, MaskLayers
from pipeline.masks.fit import SIDES, face_width, visible_shares
from pipeline.masks.records import ByteImage, FloatImage, Points, UnmaskedFace

_OUTLINES = ((54, 21, 162, 127, 234, 93, 132, 58, 172, 136), (284, 251, 389, 356, 454, 323, 361, 288, 397, 365))
"""The landmarks of the face's outline on each side, from the temple to the jaw, in the order of SIDES."""

# A strip: outwards from the outline, and down from the landmark before the ear, in shares of the face's width.
_OUT, _DOWN = (-0.20, 0.20), (-0.25, 0.50)
_TOP = -0.40  # where head bands end above it
_COLUMNS, _ROWS = 80, 150
_WORK_PX = 200  # width of the face at which a strip's pixels are the photo's
_LEAST_PX = 60  # of the face's width: on smaller ones ears are not told from hair
_LEAST_VISIBLE = 0.25  # share of a side's width: else it is turned away
_LEAST_INSIDE = 0.8  # share of the ear's surroundings that is within the photo

Block = tuple[float, float, float, float]
"""A part of a strip: from, to outwards; from, to down."""

_CHEEK, _TEMPLE, _EAR, _BEHIND, _BELOW = (
    (-0.19, -0.06, 0.00, 0.30),
    (0.02, 0.10, -0.24, -0.10),
    (0.00, 0.045, -0.10, 0.10),
    (0.045, 0.10, -0.10, 0.10),
    (0.00, 0.08, 0.18, 0.38),
)
_EAR_ROWS, _TEXTURE = (0.0, 0.08, -0.12, 0.16), (0.01, 0.09, -0.12, 0.14)
_AROUND_EAR: Block = (0.0, 0.06, -0.15, 0.25)

_SCALE = np.array([1 / 40, 1 / 9, 1 / 10])  # of log-lightness, a, b: about one between skin and hair
_SKIN_SPREAD = np.array([22.0, 6.0, 7.0])

# A logistic regression over the measures of _measures, in their order, standardised; and the probability from which on
# an ear counts as covered. Fitted to 741 sides of faces, labelled by eye (docs/drawing.md).
_MEAN = np.array([0.430, 1.416, 1.606, 1.829, 1.512, 2.493, -0.653, -0.840, -0.768, 0.729])
_SPREAD = np.array([0.272, 1.119, 1.047, 1.164, 1.102, 1.136, 0.886, 1.333, 0.475, 0.675])
_WEIGHTS = np.array([-1.031, -1.314, 0.935, -0.679, 1.158, 0.066, 0.551, -0.947, -0.474, -1.606])
_BIAS, _OTHER_SIDE, _SURE = -1.167, 0.15, 0.9

# GrabCut's start: what is surely the cheek, what is surely before the ear, and where the outline is.
_SURE_CHEEK: Block = (-0.20, -0.13, -0.25, 0.50)
_SURE_HAIR: Block = (0.035, 0.09, -0.16, 0.10)
_ROUNDS = 2
_HANGING = 25  # rows: what hangs is longer than this; shorter parts would bite into the sheet
_FADE_IN, _FADE_DOWN = (-0.14, -0.08), (0.42, 0.50)  # where a sheet's inner part, and what is below, are not hidden


@dataclass(frozen=True)
class _Side:
    """The frame of one side of a face, in a picture."""

    origin: Points  # (2,) px: the landmark before the ear
    outwards: Points  # (2,) px: a width of the face
    down: Points  # (2,) px
    outline: tuple[Points, Points]  # down, outwards: each (N,), sorted

    def at(self, outwards: NDArray[np.float64], down: NDArray[np.float64]) -> NDArray[np.float64]:
        """Places (..., 2), px, of strip coordinates."""
        outwards = outwards + np.interp(down, *self.outline)
        return self.origin + outwards[..., None] * self.outwards + down[..., None] * self.down


def hair_before(face: UnmaskedFace) -> FloatImage:
    """Where hair or cloth is before the sides of a face, (H, W) 0-1: 0 on a side whose ear is seen, or in doubt."""
    height, width = face.image.shape[:2]
    out = np.zeros((height, width), np.float32)
    points = face.landmarks.astype(np.float64) * (width, height) - 0.5
    unit = face_width(points)
    if unit < _LEAST_PX:
        return out
    zoom = min(1.0, _WORK_PX / unit)
    size = (max(2, round(zoom * width)), max(2, round(zoom * height)))
    small = np.asarray(cv2.resize(face.image, size, interpolation=cv2.INTER_AREA), np.uint8)
    strips = [
        _strip(small, face.landmarks, number) if visible >= _LEAST_VISIBLE else None
        for number, visible in enumerate(visible_shares(points))
    ]
    for number, (strip, covered) in enumerate(zip(strips, _covered_sides(strips), strict=True)):
        if strip is not None and covered:
            _place(out, _hair_in_strip(strip), _side(points, number))
    return out


def behind(layers: MaskLayers, front: FloatImage) -> MaskLayers:
    """Return a mask's layers behind what is in front of them, (H, W) 0-1."""
    seen = 1 - front
    return replace(
        layers,
        shadow=layers.shadow * seen,
        straps=Layer(layers.straps.colour, layers.straps.alpha * seen),
        mask=Layer(layers.mask.colour, layers.mask.alpha * seen),
        coverage=layers.coverage * seen,
    )


def _strip(image: ByteImage, landmarks: NDArray[np.float32], number: int) -> ByteImage | None:
    """The strip (_ROWS, _COLUMNS, 3) of one side, 0 or 1 as in SIDES; None where the photo ends before the ear."""
    height, width = image.shape[:2]
    side = _side(landmarks.astype(np.float64) * (width, height) - 0.5, number)
    outwards, down = np.meshgrid(_axis(_OUT, _COLUMNS), _axis(_DOWN, _ROWS))
    x, y = np.moveaxis(side.at(outwards, down).astype(np.float32), -1, 0)
    inside = (x >= 0) & (y >= 0) & (x <= width - 1) & (y <= height - 1)
    if _part(inside, _AROUND_EAR).mean() < _LEAST_INSIDE:
        return None
    return np.asarray(cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _covered_sides(strips: list[ByteImage | None]) -> list[bool]:
    """Whether hair or cloth hangs before the ear in the strips of both sides: likelier if it does on the other side."""
    logits = [0.0 if strip is None else _logit(strip) for strip in strips]
    likely = [own + _OTHER_SIDE * float(np.clip(other, -4, 4)) for own, other in zip(logits, logits[::-1], strict=True)]
    least = math.log(_SURE / (1 - _SURE))
    return [strip is not None and logit > least for strip, logit in zip(strips, likely, strict=True)]


def _logit(strip: ByteImage) -> float:
    """The logit of the ear in a strip being covered, of that strip alone."""
    return float((_measures(strip) - _MEAN) / _SPREAD @ _WEIGHTS) + _BIAS


def _measures(strip: ByteImage) -> NDArray[np.float64]:
    """Ten measures of a strip: how its parts differ in colour, and its texture at the ear."""
    half = cv2.resize(strip, (_COLUMNS // 2, _ROWS // 2), interpolation=cv2.INTER_AREA)
    colour = np.asarray(cv2.cvtColor(half.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), np.float64)
    colour[..., 0] = 60 * np.log((colour[..., 0] + 4) / 50)
    cheek, temple, ear, back, below = (
        np.median(_part(colour, block).reshape(-1, 3), axis=0) for block in (_CHEEK, _TEMPLE, _EAR, _BEHIND, _BELOW)
    )

    def apart(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
        return float(np.sqrt((((one - other) * _SCALE) ** 2).sum()))

    from_skin = (colour - cheek) / _SKIN_SPREAD
    from_skin[..., 0] *= np.where(from_skin[..., 0] < 0, np.sqrt(0.6), 1)  # darker skin is in the shade
    skin = np.exp(-(from_skin**2).sum(axis=-1) / 3)
    lightness = np.asarray(colour[..., 0], np.float32)
    across, along = (_part(np.abs(cv2.Sobel(lightness, -1, x, 1 - x)), _TEXTURE).mean() for x in (1, 0))
    measures = (
        np.quantile(_part(skin, _EAR_ROWS).mean(axis=1), 0.85),  # an ear is at some height, and not as high as a strip
        apart(temple, back),
        apart(temple, below),
        apart(ear, below),
        apart(cheek, ear),
        apart(cheek, below),
        (ear - cheek)[2] * _SCALE[2],
        (below - cheek)[0] * _SCALE[0],
        np.log((along + 2) / (across + 2)),
        np.log(_part(colour, _TEXTURE)[..., 1].std() + 0.5) - 1,
    )
    return np.array(measures, np.float64).clip(-4, 4)


def _hair_in_strip(strip: ByteImage) -> FloatImage:
    """What covers the ear in a strip, (_ROWS, _COLUMNS) 0-1: of colours unlike the cheek's, connected to the ear."""
    labels = np.full(strip.shape[:2], cv2.GC_PR_BGD, np.uint8)
    _part(labels, (0.0, *_OUT[1:], *_DOWN))[:] = cv2.GC_PR_FGD
    _part(labels, _SURE_CHEEK)[:] = cv2.GC_BGD
    _part(labels, _SURE_HAIR)[:] = cv2.GC_FGD
    models = np.zeros((1, 65)), np.zeros((1, 65))
    colours = np.ascontiguousarray(cv2.cvtColor(strip, cv2.COLOR_RGB2LAB))
    cv2.setRNGSeed(0)  # of the colours' first clusters
    cv2.grabCut(colours, labels, (0, 0, 1, 1), *models, _ROUNDS, cv2.GC_INIT_WITH_MASK)
    hair = np.asarray((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD), np.uint8)
    _, parts = cv2.connectedComponents(hair)
    hair = np.asarray(np.isin(parts, np.unique(_part(parts, _SURE_HAIR))) & (hair > 0), np.uint8)
    closing, hanging = (cv2.getStructuringElement(cv2.MORPH_ELLIPSE, size) for size in ((5, 5), (5, _HANGING)))
    hair = np.asarray(cv2.morphologyEx(cv2.morphologyEx(hair, cv2.MORPH_CLOSE, closing), cv2.MORPH_OPEN, hanging))
    inwards = np.clip((_axis(_OUT, _COLUMNS) - _FADE_IN[0]) / (_FADE_IN[1] - _FADE_IN[0]), 0, 1)
    downwards = np.clip((_FADE_DOWN[1] - _axis(_DOWN, _ROWS)) / (_FADE_DOWN[1] - _FADE_DOWN[0]), 0, 1)
    soft = np.asarray(cv2.GaussianBlur(hair.astype(np.float32), (0, 0), 1.0), np.float32)
    return np.asarray(soft * inwards * downwards[:, None], np.float32)


def _place(out: FloatImage, hair: FloatImage, side: _Side) -> None:
    """Write the map of a strip into a picture's (H, W), in place, where it is larger."""
    corners = side.at(*np.meshgrid(np.array(_OUT), np.linspace(_TOP, _DOWN[1], 16))).reshape(-1, 2)
    left, top = np.floor(corners.min(axis=0)).astype(int).clip(0)
    right, bottom = np.ceil(corners.max(axis=0)).astype(int).clip(0, out.shape[::-1])
    if right <= left or bottom <= top:
        return
    x, y = np.meshgrid(np.arange(left, right) - side.origin[0], np.arange(top, bottom) - side.origin[1])
    squared = float(side.down @ side.down)
    down = (x * side.down[0] + y * side.down[1]) / squared
    outwards = (x * side.outwards[0] + y * side.outwards[1]) / squared - np.interp(down, *side.outline)
    column = (outwards - _OUT[0]) / (_OUT[1] - _OUT[0]) * _COLUMNS - 0.5
    row = np.maximum((down - _DOWN[0]) / (_DOWN[1] - _DOWN[0]) * _ROWS - 0.5, 0)  # above the strip hair goes on
    at = (column.astype(np.float32), row.astype(np.float32))
    placed = cv2.remap(hair, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    part = out[top:bottom, left:right]
    np.maximum(part, placed, out=part)


def _side(points: Points, number: int) -> _Side:
    """The frame of a side, 0 or 1 as in SIDES, of a face with landmarks (478, 2), px."""
    across = points[SIDES[1]] - points[SIDES[0]]
    down = np.array([-across[1], across[0]])
    outwards, origin = across * (1 if number else -1), points[SIDES[number]]
    squared = float(across @ across)
    outline = points[list(_OUTLINES[number])] - origin
    order = np.argsort(outline @ down)
    return _Side(origin, outwards, down, ((outline @ down / squared)[order], (outline @ outwards / squared)[order]))


def _axis(span: tuple[float, float], count: int) -> NDArray[np.float64]:
    """The centres of a strip's columns or rows."""
    return span[0] + (np.arange(count) + 0.5) / count * (span[1] - span[0])


def _part(values: NDArray[Any], block: Block) -> NDArray[Any]:
    """A view of a part of a strip (rows, columns, ...), whatever its size in pixels."""
    rows, columns = values.shape[:2]
    first, last = np.rint((np.array(block[:2]) - _OUT[0]) / (_OUT[1] - _OUT[0]) * columns).astype(int)
    upper, lower = np.rint((np.array(block[2:]) - _DOWN[0]) / (_DOWN[1] - _DOWN[0]) * rows).astype(int)
    return values[upper:lower, first:last]
