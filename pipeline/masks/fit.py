"""A mask put on a face: from as it should be, by small steps, to every way in which it should not."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.masks import surgical_fit as wear
from pipeline.masks import warp
from pipeline.masks.designs import Design
from pipeline.masks.surgical import Picture
from pipeline.masks.surgical_fit import MaskFit


@dataclass(frozen=True)
class CompositeStyle:
    """How a picture of a masked face came to be: photographed, or pasted as by MaskTheFace."""

    light: float  # share of the face's own light that falls on the mask, 0-1
    shadow: float  # how dark the shadow is that the mask throws, 0-1
    pasted: bool  # hard, jagged edges
    opacity: float


def draw_style(rng: np.random.Generator) -> CompositeStyle:
    if rng.random() < 0.4:
        return CompositeStyle(light=0.0, shadow=0.0, pasted=bool(rng.random() < 0.7), opacity=1.0)
    return CompositeStyle(float(rng.uniform(0.4, 1)), float(rng.uniform(0, 0.5)), False, float(rng.uniform(0.93, 1)))


def draw_any_fit(rng: np.random.Generator) -> MaskFit:
    """Any height of the upper and the lower edge, any shift; about half are worn correctly."""

    def within(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    kind = rng.random()
    tilt, arch = within(-0.12, 0.12), within(-0.1, 0.3)
    left, right = -within(0.72, 1.12), within(0.72, 1.12)
    if kind < 0.36:  # about correct
        return MaskFit(within(0.55, 1.45), within(4.0, 4.75), left, right, tilt, arch)
    if kind < 0.52:  # the nose out, more or less
        return MaskFit(within(1.4, 2.9), within(3.9, 4.8), left, right, tilt, within(-0.2, 0.15))
    if kind < 0.70:  # the chin out, more or less
        return MaskFit(within(0.5, 1.6), within(2.9, 4.15), left, right, tilt, arch)
    if kind < 0.80:  # on the chin
        return MaskFit(within(2.8, 4.2), within(4.2, 5.6), left, right, tilt, within(-0.2, 0.1))
    if kind < 0.89:  # over the eyes
        return MaskFit(within(-0.9, 0.6), within(2.0, 4.6), left, right, 2 * tilt, within(-0.1, 0.3))
    side, edge = rng.choice([-1, 1]), within(-0.6, 0.55)  # pushed aside, or hanging from an ear
    ends = sorted((side * edge, side * (edge + within(0.9, 2.0))))
    return MaskFit(within(0.3, 2.6), within(3.2, 4.8), ends[0], ends[1], within(-0.9, 0.9), within(-0.1, 0.2))


def put_on(
    image: NDArray[np.uint8], points: NDArray[np.float32], design: Design, fit: MaskFit, manner: CompositeStyle
) -> tuple[NDArray[np.uint8], Picture]:
    """Image (H, W, 3) uint8 RGB and plain landmarks (478, 2) as shares -> the masked image, and 0-1 where the mask is.

    Straps belong to the picture, not to the truth: they cover nothing.
    """
    height, width = image.shape[:2]
    face = points.astype(np.float64) * (width, height) - 0.5
    place = wear.face_map(face)
    layer, alpha = wear.warped(design.drawing, place, fit, height, width)
    if manner.pasted:
        coarse = cv2.resize(alpha, (width // 2, height // 2), interpolation=cv2.INTER_NEAREST)
        alpha = np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_NEAREST) > 0.5, np.float32)
    light = (1 - manner.light + manner.light * wear.face_light(image, face))[..., None]
    straps = _straps(design, face, place, fit, height, width)

    unit = float(np.hypot(*(face[454] - face[234])))
    out = image.astype(np.float32)
    if manner.shadow:
        thrown = cv2.warpAffine(
            np.maximum(alpha, 0.8 * straps), np.array([[1, 0, 0], [0, 1, 0.018 * unit]]), (width, height)
        )
        thrown = manner.shadow * cv2.GaussianBlur(thrown, (0, 0), max(0.5, 0.02 * unit))
        out *= (1 - thrown * (1 - alpha))[..., None]
    out += (design.strap_colour * light - out) * straps[..., None]
    out += (layer * light - out) * (manner.opacity * alpha)[..., None]
    return np.asarray(np.clip(np.rint(out), 0, 255), np.uint8), alpha


def _straps(
    design: Design, face: NDArray[np.float64], place: warp.Spline, fit: MaskFit, height: int, width: int
) -> Picture:
    if design.straps == "none":
        return np.zeros((height, width), np.float32)
    if design.straps == "loops":
        return 0.9 * wear.ear_loops(face, place, fit, height, width)
    canvas = np.zeros((height, width), np.uint8)
    unit = float(np.hypot(*(face[454] - face[234])))
    for side, far in ((-1.0, 454), (1.0, 234)):
        ear = 234 if side < 0 else 454
        corners = wear.on_face(place, fit, np.full(2, side * 0.9), np.array([0.35, 0.75]))
        outward = face[ear] - face[far]
        ends = face[ear] + 0.12 * outward + np.array([(0.0, -0.35), (0.0, 0.3)]) * unit
        for start, end in zip(corners, ends, strict=True):
            ticks = np.rint(np.array([start, end]) * 16).astype(np.int32)
            cv2.polylines(canvas, [ticks], False, 255, max(1, round(0.018 * unit)), cv2.LINE_AA, 4)
    return np.asarray(canvas / 255.0, np.float32)


__all__ = ["CompositeStyle", "draw_any_fit", "draw_style", "put_on"]
