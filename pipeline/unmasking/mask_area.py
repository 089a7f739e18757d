"""Where in a picture a mask is, to the pixel: the coverage network's coarse map, refined by the colours.

The refinement is GrabCut (Rother, Kolmogorov, Blake 2004), as OpenCV has it.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.faces.alignment import CROP_SIDE, align
from pipeline.faces.mask_coverage import segment_crops
from pipeline.faces.regions import EYES, polygon_mask
from pipeline.masks.fit import SIDES
from pipeline.masks.records import ByteImage, FloatImage, Points, UnmaskedFace
from pipeline.masks.warp import resample

_SURE, _LIKELY, _UNLIKELY = 0.7, 0.5, 0.3  # of the coarse map
_INWARDS, _OUTWARDS, _SMOOTH = 0.6, 2.5, 0.3  # px of the coarse map: of what is sure, of what may be, of the result
_ROUNDS = 3  # of GrabCut
_WORK_PX = 256  # the larger side at which colours are separated; with 192 the drawn faces are .2 dB worse
# Ear loops: lengths are shares of the face's width.
_LOOP, _SHORTEST, _SIDE = 0.03, 0.08, 0.55  # half of what counts as thin; how long; where a mask's side begins
_EAR = np.array([(x, y) for x in (0.0, 0.05, 0.1, 0.15) for y in (-0.25, -0.19, -0.13, -0.07, -0.01, 0.05, 0.11, 0.17)])
"""Where a loop may go behind an ear: outwards and down from the side of the face."""
_STARTS, _SAMPLES = 24, 24  # points along a side, and along a line
_FAINT, _SEEN = 14.0, 0.85  # grey levels over what is beside, and the share of a line that has them
_CLEAR, _SAME = 35.0, 0.27  # grey levels of the mean; share of it that is seen beside the line too
_LEADING = 0.15  # median distance from the mask over the length: from here on a line leads away
_BESIDE, _NEAR = 4.0, 5  # px: how far from a line its surroundings are compared; width in which its pixels are
# OpenCV's GC_BGD, GC_FGD, GC_PR_BGD and GC_PR_FGD.
_BACKGROUND, _FOREGROUND, _MAYBE_BACKGROUND, _MAYBE_FOREGROUND = range(4)


def find_mask_area(face: UnmaskedFace) -> NDArray[np.bool_]:
    """(H, W): where the mask and its ear loops are on a masked face, as far as they are seen."""
    height, width = face.image.shape[:2]
    zoom = min(1.0, _WORK_PX / max(height, width))
    size = (max(8, round(zoom * width)), max(8, round(zoom * height)))
    image = np.asarray(cv2.resize(face.image, size, interpolation=cv2.INTER_AREA), np.uint8)
    area = _refined(UnmaskedFace(image, face.landmarks))
    area |= _loops(image, area, face.landmarks)
    if zoom == 1:
        return area > 0
    return cv2.resize(area.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC) > 0.5


def _refined(face: UnmaskedFace) -> NDArray[np.uint8]:
    """The mask's area (H, W), 0 or 1, in a picture of at most _WORK_PX."""
    height, width = face.image.shape[:2]
    coarse, unit = _coarse_map(face)
    labels = np.where(coarse > _LIKELY, _MAYBE_FOREGROUND, _MAYBE_BACKGROUND).astype(np.uint8)
    labels[cv2.erode(_binary(coarse > _SURE), _disc(_INWARDS * unit)) > 0] = _FOREGROUND
    labels[cv2.dilate(_binary(coarse > _UNLIKELY), _disc(_OUTWARDS * unit)) == 0] = _BACKGROUND
    for eye in EYES:
        labels[polygon_mask(face.landmarks, eye, height, width) > 0] = _BACKGROUND
    area = _binary(coarse > _LIKELY)
    if (labels == _FOREGROUND).any() and (labels == _BACKGROUND).any():
        models, image = (np.zeros((1, 65)), np.zeros((1, 65))), np.ascontiguousarray(face.image[..., ::-1])
        cv2.setRNGSeed(0)  # of the colours' first clusters
        cv2.grabCut(image, labels, (0, 0, 1, 1), *models, _ROUNDS, cv2.GC_INIT_WITH_MASK)
        # What the network is sure of stays: skin-coloured cloth may be taken for skin by its colour.
        area = _binary((labels == _FOREGROUND) | (labels == _MAYBE_FOREGROUND) | (coarse > _SURE))
    kernel = _disc(_SMOOTH * unit)
    smooth = cv2.morphologyEx(cv2.morphologyEx(area, cv2.MORPH_CLOSE, kernel), cv2.MORPH_OPEN, kernel)
    return _without_holes(_largest(np.asarray(smooth, np.uint8)))


@dataclass(frozen=True)
class _Line:
    """A thin line from the mask to an ear."""

    start: NDArray[np.float64]  # (2,) px
    end: NDArray[np.float64]
    leads_away: bool  # from the mask; else it runs beside the mask's edge, as a sliver of skin does
    contrast: float  # grey levels to what is beside


def _loops(image: ByteImage, area: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The ear loops (H, W), 0 or 1: thin straight lines from the mask to an ear, all lighter or all darker than beside.

    Of lighter and darker lines those with more contrast in all are taken: an ear before a bright wall is dark and thin
    too. Lines that run beside the mask count only where another one leads away from it.
    """
    height, width = area.shape
    ears = landmarks[list(SIDES)].astype(np.float64) * (width, height) - 0.5
    across = ears[1] - ears[0]
    unit = max(float(np.hypot(*across)), 1.0)
    down = np.array([-across[1], across[0]]) / unit
    away = np.asarray(cv2.distanceTransform(1 - area, cv2.DIST_L2, 3), np.float32)
    found: list[tuple[float, NDArray[np.uint8]]] = [(0.0, np.zeros_like(area))]
    for kind in (cv2.MORPH_TOPHAT, cv2.MORPH_BLACKHAT):
        contrast = np.asarray(cv2.morphologyEx(image, kind, _disc(_LOOP * unit)).max(axis=2) * (area == 0), np.float32)
        lines = []
        for ear, outwards in zip(ears, (-across / unit, across / unit), strict=True):
            starts = _side_edge(area, outwards, down)
            middle = float(np.median(starts @ down)) if len(starts) else 0.0
            ends = ear + unit * (_EAR[:, :1] * outwards + _EAR[:, 1:] * down)
            for half in (starts[starts @ down < middle], starts[starts @ down >= middle]):
                if (line := _best_line(contrast, away, half, ends, _SHORTEST * unit)) is not None:
                    lines.append(line)
        if any(line.leads_away for line in lines):
            drawn = np.maximum.reduce([_drawn_line(contrast, line) for line in lines])
            found.append((sum(line.contrast for line in lines), drawn))
    return max(found, key=lambda one: one[0])[1]


def _side_edge(area: NDArray[np.uint8], outwards: NDArray[np.float64], down: NDArray[np.float64]) -> Points:
    """Points (N, 2) along the side of the mask that faces `outwards`, px, from top to bottom."""
    outlines, _ = cv2.findContours(area, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not outlines:
        return np.zeros((0, 2))
    outline = max(outlines, key=len)[:, 0].astype(np.float64)
    reach = outline @ outwards
    side = outline[reach > np.median(reach) + _SIDE * (reach.max() - np.median(reach))]
    return np.asarray(side[np.argsort(side @ down)][:: max(1, len(side) // _STARTS)])


def _best_line(contrast: FloatImage, away: FloatImage, starts: Points, ends: Points, shortest: float) -> _Line | None:
    """The line that stands out most from what is beside it; None if none does."""
    first, last = (points.reshape(-1, 2) for points in np.broadcast_arrays(starts[:, None], ends[None]))
    lengths = np.hypot(*(last - first).T)
    kept = lengths > shortest
    first, last, lengths = first[kept], last[kept], lengths[kept]
    if not len(first):
        return None
    shares = np.linspace(0.08, 1, _SAMPLES)[None, :, None]
    along = first[:, None] + shares * (last - first)[:, None]
    aside = np.stack([-(last - first)[:, 1], (last - first)[:, 0]], axis=1)[:, None] / lengths[:, None, None]
    wide = np.asarray(cv2.dilate(contrast, _disc(1)), np.float32)  # loops are not wholly straight
    on = _sampled(wide, along)
    beside = np.maximum(*(_sampled(contrast, along + step * aside).mean(axis=1) for step in (-_BESIDE, _BESIDE)))
    clear = on.mean(axis=1) - beside
    clear[((on > _FAINT).mean(axis=1) < _SEEN) | (beside > _SAME * on.mean(axis=1))] = 0
    best = int(clear.argmax())
    if clear[best] < _CLEAR:
        return None
    leads = float(np.median(_sampled(away, along[best]))) > _LEADING * lengths[best]
    return _Line(first[best], last[best], leads, float(clear[best]))


def _sampled(values: FloatImage, places: NDArray[np.float64]) -> FloatImage:
    """Values (H, W) at places (..., 2), px; 0 beside the picture."""
    x, y = np.asarray(np.moveaxis(places, -1, 0), np.float32)
    return np.asarray(cv2.remap(values, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT), np.float32)


def _drawn_line(contrast: FloatImage, line: _Line) -> NDArray[np.uint8]:
    """The pixels of a line (H, W), 0 or 1: those near it that stand out."""
    near = np.zeros(contrast.shape, np.uint8)
    start, end = (tuple(np.rint(place).astype(int).tolist()) for place in (line.start, line.end))
    cv2.line(near, start, end, 1, _NEAR)
    return np.asarray(cv2.dilate(near & _binary(contrast > _FAINT / 2), _disc(1)), np.uint8)


def _coarse_map(face: UnmaskedFace) -> tuple[FloatImage, float]:
    """How surely each pixel (H, W) is under the mask, 0-1, and the side of the coverage network's pixel there."""
    height, width = face.image.shape[:2]
    aligned = align(face.image, face.landmarks)
    coarse = segment_crops([aligned.crop])[0, 0]
    reduced = CROP_SIDE / len(coarse)
    rows, columns = np.mgrid[:height, :width].astype(np.float64)
    in_crop = np.dstack([columns, rows]) @ aligned.matrix[:, :2].T + aligned.matrix[:, 2]
    positions = ((in_crop + 0.5) / reduced - 0.5).astype(np.float32)
    scale = float(np.hypot(*aligned.matrix[:, 0]))
    return resample(coarse, positions, cv2.BORDER_CONSTANT).clip(0, 1), reduced / scale


def _largest(area: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The largest connected part."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(area)
    return area if count < 2 else _binary(labels == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax()))


def _without_holes(area: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The area and what it encloses."""
    outside = np.pad(area, 1)
    cv2.floodFill(outside, None, (0, 0), 2)
    return _binary(outside[1:-1, 1:-1] != 2)


def _disc(radius: float) -> NDArray[np.uint8]:
    side = 2 * max(1, int(radius)) + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), np.uint8)


def _binary(where: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return np.asarray(where, np.uint8)
