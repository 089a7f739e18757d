"""A masked face as it may look without the mask: a likely lower face, in the photo's light, where the mask is."""

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.faces.regions import EYES, FACE_OVAL, polygon_mask
from pipeline.masks.fit import SIDES
from pipeline.masks.records import ByteImage, FloatImage, UnmaskedFace
from pipeline.unmasking.continuation import continued, distance_from
from pipeline.unmasking.light import Surroundings, in_light_of
from pipeline.unmasking.lower_face_model import LowerFaceModel, draw_lower_face, may_be_skin, texture_of, to_logarithms

# Lengths are shares of the picture's side, which is FFHQ's frame.
_BEYOND = 1 / 128  # by which more than the mask is replaced: its edge is mixed with skin
_EDGE, _OUTLINE = 1 / 200, 1 / 100  # softness of the mask's edge, and of the face's outline
_RING = 1 / 10  # width of the skin around the mask whose colours are continued
_NEAR_EYES = 1 / 40  # skin as near as that to an eye does not count: lashes, shadows
_NOSE_TIP, _LOWER_LIP, _CHIN = 1, 17, 152  # landmarks
_CHIN_WIDTH = 0.08  # of the face's width, to each side
_HANGS, _STRETCH = 0.15, (1.0, 1.3)  # how far a mask ends below the chin, as a share of the chin's height; its bounds
_THIN = 1 / 32  # ear loops are thinner: they are not the side of a mask
_STANDS_OFF, _WIDENED = 0.03, 0.06  # of the face's width: how far a mask is beyond the cheek; the most a side is moved
_INNER = 0.4  # share of the way to the side from which on it is moved
_LEVELS, _COMPARED = 8, 128  # between nose and lip, at which the sides are compared; px of the side at which they are
_GREY = 0.015  # mean chroma, 0-1, below which a photo is black and white
_GREY_STEP = 4  # px: of so many rows and columns one tells whether a photo is

_Part = tuple[slice, slice]  # rows and columns


def bare_face(face: UnmaskedFace, area: NDArray[np.bool_], model: LowerFaceModel) -> ByteImage:
    """The picture (H, W, 3) with a likely lower face in place of the mask; `area` (H, W) says where the mask is.

    No pixel in the area is read, nor at its edge. Beside the face's outline, where a mask stands off or hangs down, the
    colours around are continued. Pixels that are farther than 2 % of the side from the area keep their values.
    """
    out = face.image.copy()
    if not area.any():
        return out
    side = max(area.shape)
    replaced = distance_from(area) <= max(1, round(_BEYOND * side)) + 0.3
    part = _box(replaced, round(_RING * side) + 1)
    face = _without_mask(with_sides_at_edge(with_chin_at_edge(face, area), area), replaced, part)
    around = _surroundings(face, replaced, part)
    texture = texture_of(to_logarithms(around.image), around.skin, side)
    drawn = draw_lower_face(face, model, texture)[part]
    if _is_grey(face.image):
        drawn = np.repeat(drawn.mean(axis=2, keepdims=True), 3, axis=2)
    drawn = in_light_of(around, drawn)
    beside = continued(around.image, np.asarray(~(around.replaced | around.oval), np.float32))
    inside = _blurred(around.oval, _OUTLINE * side)
    replacement = drawn * inside + beside * (1 - inside)
    alpha = _blurred(around.replaced, _EDGE * side)
    alpha[alpha < 1 / 255] = 0
    out[part] = (alpha * replacement + (1 - alpha) * around.image).round().clip(0, 255).astype(np.uint8)
    return out


def with_chin_at_edge(face: UnmaskedFace, area: NDArray[np.bool_]) -> UnmaskedFace:
    """The face with its landmarks below the tip of the nose stretched, so that the chin is where the mask ends.

    Under a mask the landmarks show the chin too high: by 16 % of its distance from the nose (median of 24 true pairs).
    """
    size = np.array(area.shape[::-1], np.float64)
    points = face.landmarks.astype(np.float64) * size - 0.5
    across = points[SIDES[1]] - points[SIDES[0]]
    width = max(float(np.hypot(*across)), 1e-6)
    across, down = across / width, np.array([-across[1], across[0]]) / width
    places = np.argwhere(area)[:, ::-1].astype(np.float64)
    places = places[np.abs((places - points[_CHIN]) @ across) < _CHIN_WIDTH * width]
    nose, lip, chin = (float(points[place] @ down) for place in (_NOSE_TIP, _LOWER_LIP, _CHIN))
    if not len(places) or chin <= nose:
        return face
    end = float(np.percentile(places @ down, 99))
    expected = chin + _HANGS * max(chin - lip, 0)
    stretch = float(np.clip((end - nose) / (expected - nose), *_STRETCH))
    points += ((stretch - 1) * np.maximum(points @ down - nose, 0))[:, None] * down
    return UnmaskedFace(face.image, ((points + 0.5) / size).astype(np.float32))


def with_sides_at_edge(face: UnmaskedFace, area: NDArray[np.bool_]) -> UnmaskedFace:
    """The face with its sides moved outwards to near the mask's, where the mask is wider than the face's outline.

    Else what is beside the face would have to be guessed there, and a blurred strip be seen.
    """
    size, side = np.array(area.shape[::-1], np.float64), max(area.shape)
    points = face.landmarks.astype(np.float64) * size - 0.5
    across = points[SIDES[1]] - points[SIDES[0]]
    width = max(float(np.hypot(*across)), 1e-6)
    across, down = across / width, np.array([-across[1], across[0]]) / width
    nose, lip = points[_NOSE_TIP] @ down, points[_LOWER_LIP] @ down
    middle = (points[_NOSE_TIP] + points[_LOWER_LIP]) @ across / 2
    step = max(1, side // _COMPARED)
    thick = np.ones((max(1, round(_THIN * side / step)),) * 2, np.uint8)
    cloth = cv2.morphologyEx(np.asarray(area[::step, ::step], np.uint8), cv2.MORPH_OPEN, thick)
    oval = polygon_mask(face.landmarks, FACE_OVAL, *area.shape)[::step, ::step]
    places = [np.argwhere(part)[:, ::-1].astype(np.float64) * step for part in (cloth, oval)]
    level = ((points @ down - nose) / max(lip - nose, 1e-6) + 1).clip(0, 1)  # from as far above the nose on
    for sign in (-1, 1):
        mask, cheek = (_reach(where @ down, sign * (where @ across - middle), (nose, lip)) for where in places)
        beyond = float(np.clip((mask - cheek) / width - _STANDS_OFF, 0, _WIDENED)) if cheek > 0 else 0.0
        out = ((sign * (points @ across - middle) / max(cheek, 1e-6) - _INNER) / (1 - _INNER)).clip(0, 1)
        points += (sign * beyond * width * out * level)[:, None] * across
    return UnmaskedFace(face.image, ((points + 0.5) / size).astype(np.float32))


def _reach(heights: NDArray[np.float64], distances: NDArray[np.float64], between: tuple[float, float]) -> float:
    """How far pixels (N,) reach from the face's middle, px: the median over levels between two heights; 0 of none."""
    edges = np.linspace(*between, _LEVELS + 1)
    levels = np.digitize(heights, edges)
    reached = [distances[levels == level].max() for level in range(1, _LEVELS + 1) if (levels == level).any()]
    return float(np.median(reached)) if reached else 0.0


def _without_mask(face: UnmaskedFace, replaced: NDArray[np.bool_], part: _Part) -> UnmaskedFace:
    """The face with the colours around `replaced` continued into it, so that none of the mask's is read."""
    image = face.image.copy()
    smooth = continued(image[part].astype(np.float32), np.asarray(~replaced[part], np.float32))
    image[part] = np.where(replaced[part][..., None], smooth.round().clip(0, 255).astype(np.uint8), image[part])
    return UnmaskedFace(image, face.landmarks)


def _surroundings(face: UnmaskedFace, replaced: NDArray[np.bool_], part: _Part) -> Surroundings:
    """What is around the mask, in this part of the picture."""
    height, width = replaced.shape
    side = max(height, width)
    oval = polygon_mask(face.landmarks, FACE_OVAL, height, width)[part] > 0
    eyes = np.maximum(*(polygon_mask(face.landmarks, eye, height, width)[part] for eye in EYES)) > 0
    replaced = replaced[part]
    ring = oval & ~replaced & (distance_from(replaced) <= _RING * side) & (distance_from(eyes) > _NEAR_EYES * side)
    image, skin = face.image[part].astype(np.float32), ring.copy()
    skin[ring] = may_be_skin(to_logarithms(image[ring]))
    return Surroundings(image, replaced, oval, ring, skin, side)


def _box(where: NDArray[np.bool_], margin: int) -> _Part:
    """The rows and columns of a picture that hold what is true, and a margin, px."""
    rows, columns = np.flatnonzero(where.any(axis=1)), np.flatnonzero(where.any(axis=0))
    return (
        slice(max(0, int(rows[0]) - margin), int(rows[-1]) + margin + 1),
        slice(max(0, int(columns[0]) - margin), int(columns[-1]) + margin + 1),
    )


def _is_grey(image: ByteImage) -> bool:
    """Whether a picture is black and white."""
    few = image[::_GREY_STEP, ::_GREY_STEP].astype(np.float32)
    return float((few.max(axis=2) - few.min(axis=2)).mean()) < _GREY * 255


def _blurred(area: NDArray[np.bool_], sigma: float) -> FloatImage:
    """An area (H, W) as weights (H, W, 1), 0-1, with a soft edge."""
    return np.asarray(cv2.GaussianBlur(np.asarray(area, np.float32), (0, 0), max(0.5, sigma)), np.float32)[..., None]
