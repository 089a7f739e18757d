"""Where in a picture a mask is, to the pixel: the coverage network's coarse map, refined by the colours.

The refinement is GrabCut (Rother, Kolmogorov, Blake 2004), as OpenCV has it.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.faces.alignment import CROP_SIDE, align
from pipeline.faces.mask_coverage import segment_crops
from pipeline.faces.regions import EYES, polygon_mask
from pipeline.masks.fit import SIDES
from pipeline.masks.records import ByteImage, FloatImage, UnmaskedFace
from pipeline.masks.warp import resample

_SURE, _LIKELY, _UNLIKELY = 0.7, 0.5, 0.3  # of the coarse map
_INWARDS, _OUTWARDS, _SMOOTH = 0.6, 1.2, 0.3  # px of the coarse map: of what is sure, of what may be, of the result
_ROUNDS = 3  # of GrabCut
_WORK_PX = 256  # the larger side at which colours are separated: more only takes time
# Ear loops: lengths are shares of the face's width.
_LOOP, _REACH, _SHORTEST, _THICKEST = 0.03, 0.45, 0.08, 0.07  # half of what counts as thin; how far; how long; how wide
_LEADING = 0.3  # share of a line's reach that half of it is farther from the mask than
_CONTRAST = 14  # grey levels
_LOWER_LIP, _EYE_CORNERS = 17, (33, 263)
_BACKGROUND, _FOREGROUND, _MAYBE_BACKGROUND, _MAYBE_FOREGROUND = (
    0,
    1,
    2,
    3,
)  # OpenCV's GC_BGD, GC_FGD, GC_PR_BGD, GC_PR_FGD


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


def _loops(image: ByteImage, area: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The ear loops (H, W), 0 or 1: thin lines, lighter or darker than both sides, that start at the mask."""
    height, width = area.shape
    side = float(np.hypot(*((landmarks[SIDES[1]] - landmarks[SIDES[0]]) * (width, height))))
    kernel = _disc(_LOOP * side)
    light = cv2.morphologyEx(image, cv2.MORPH_TOPHAT, kernel).max(axis=2)
    dark = cv2.morphologyEx(image, cv2.MORPH_BLACKHAT, kernel).max(axis=2)
    beside = _binary(cv2.dilate(area, _disc(_REACH * side)) > 0) & ~area & 1
    below_eyes = _between(landmarks, height, width)
    away = cv2.distanceTransform(1 - area, cv2.DIST_L2, 3) / side
    found = np.zeros_like(area)
    for lines in (light, dark):
        thin = cv2.morphologyEx(_binary(lines > _CONTRAST) & beside & below_eyes, cv2.MORPH_CLOSE, _disc(1))
        _, labels, stats, _ = cv2.connectedComponentsWithStats(thin)
        for label in np.unique(labels[(away < 3 / side) & (labels > 0)]).tolist():
            line = labels == label
            reach = float(away[line].max())
            # A sliver of skin or background along the mask's edge is thin too, but it does not lead away.
            leads_away = reach > _SHORTEST and float(np.median(away[line])) > _LEADING * reach
            if leads_away and stats[label, cv2.CC_STAT_AREA] < _THICKEST * side * reach * side:
                found |= _binary(line)
    return np.asarray(cv2.dilate(found, _disc(1)), np.uint8)


def _between(landmarks: NDArray[np.float32], height: int, width: int) -> NDArray[np.uint8]:
    """1 between the level of the lower eyelids and that of the mouth, at the sides of the face."""
    px = landmarks * np.array([width, height], np.float32)
    across = px[SIDES[1]] - px[SIDES[0]]
    across /= max(float(np.hypot(*across)), 1e-6)
    down = np.array([-across[1], across[0]])
    rows, columns = np.mgrid[:height, :width]
    level = columns * down[0] + rows * down[1]
    high, low = (px[list(EYES[0])] @ down).max(), (px[_LOWER_LIP] @ down)
    position = columns * across[0] + rows * across[1]
    inner = np.sort(px[list(_EYE_CORNERS)] @ across)
    return _binary(
        (level > min(high, low)) & (level < max(high, low)) & ((position < inner[0]) | (position > inner[1]))
    )


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
