"""A masked face as it may look without the mask: a likely lower face, in the photo's light, where the mask is."""

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.faces.regions import EYES, FACE_OVAL, polygon_mask
from pipeline.masks.fit import SIDES
from pipeline.masks.records import ByteImage, FloatImage, UnmaskedFace
from pipeline.unmasking.lower_face_model import LowerFaceModel, draw_lower_face, to_colours, to_logarithms

# Lengths are shares of the picture's side, which is FFHQ's frame.
_BEYOND = 1 / 128  # by which more than the mask is replaced: its edge is mixed with skin
_EDGE, _OUTLINE = 1 / 200, 1 / 100  # softness of the mask's edge, and of the face's outline
_RING = 1 / 20  # width of the skin around the mask whose colours are continued
_NEAR_EYES = 1 / 40  # skin as near as that to an eye does not count: lashes, shadows
_MOST = 0.5  # by how much a logarithm is changed at most: hair and glasses are no skin
_NOSE_TIP, _LOWER_LIP, _CHIN = 1, 17, 152  # landmarks
_CHIN_WIDTH = 0.08  # of the face's width, to each side
_HANGS, _STRETCH = 0.15, (1.0, 1.3)  # how far a mask ends below the chin, as a share of the chin's height; its bounds
_GREY = 0.015  # mean chroma, 0-1, below which a photo is black and white


def bare_face(face: UnmaskedFace, area: NDArray[np.bool_], model: LowerFaceModel) -> ByteImage:
    """The picture (H, W, 3) with a likely lower face in place of the mask; `area` (H, W) says where the mask is.

    No pixel in the area is read. Beside the face's outline, where a mask stands off or hangs down, the colours around
    are continued. Pixels that are farther than 2 % of the side from the area keep their values.
    """
    height, width = area.shape
    side = max(height, width)
    replaced = cv2.dilate(np.asarray(area, np.uint8), _disc(_BEYOND * side)) > 0
    face = _without_mask(with_chin_at_edge(face, area), area, replaced)
    oval = polygon_mask(face.landmarks, FACE_OVAL, height, width) > 0
    drawn = draw_lower_face(face, model)
    if _is_grey(face.image[~replaced]):
        drawn = np.repeat(drawn.mean(axis=2, keepdims=True), 3, axis=2)
    drawn = in_light_of(face, drawn, replaced, oval)
    around = continued(face.image.astype(np.float32), np.asarray(~(replaced | oval), np.float32))
    inside = _blurred(oval, _OUTLINE * side)
    replacement = drawn * inside + around * (1 - inside)
    alpha = _blurred(replaced, _EDGE * side)
    alpha[alpha < 1 / 255] = 0
    return (alpha * replacement + (1 - alpha) * face.image).round().clip(0, 255).astype(np.uint8)


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


def _without_mask(face: UnmaskedFace, area: NDArray[np.bool_], replaced: NDArray[np.bool_]) -> UnmaskedFace:
    """The face with the colours around `replaced` continued into the area, so that none of the mask's is read."""
    smooth = continued(face.image.astype(np.float32), np.asarray(~replaced, np.float32)).round().clip(0, 255)
    return UnmaskedFace(np.where(area[..., None], smooth.astype(np.uint8), face.image), face.landmarks)


def in_light_of(
    face: UnmaskedFace, drawn: FloatImage, replaced: NDArray[np.bool_], oval: NDArray[np.bool_]
) -> FloatImage:
    """The drawn face (H, W, 3), 0-255, with its colours changed so that they continue those of the skin around.

    The logarithm of the quotient of both is continued from the ring of skin into the area (a membrane, as in Perez,
    Gangnet, Blake 2003, Poisson image editing, section 2).
    """
    height, width = replaced.shape
    side = max(height, width)
    ring = oval & ~replaced & (cv2.dilate(np.asarray(replaced, np.uint8), _disc(_RING * side)) > 0)
    for eye in EYES:
        ring &= cv2.dilate(polygon_mask(face.landmarks, eye, height, width), _disc(_NEAR_EYES * side)) == 0
    if not ring.any():
        return drawn
    logarithms = to_logarithms(drawn)
    change = (to_logarithms(face.image) - logarithms).clip(-_MOST, _MOST)
    return to_colours(logarithms + continued(change, np.asarray(ring, np.float32)))


def continued(values: FloatImage, known: FloatImage) -> FloatImage:
    """Values (H, W, 3), with those where `known` (H, W) is 0 replaced by a smooth continuation of the others.

    Pull and push (Gortler et al. 1996, The lumigraph, section 3.3): averages of the known values at ever coarser scales
    fill what is unknown at the finer ones. Where nothing is known the result is 0.
    """
    levels, total, weight = [], values * known[..., None], known
    while True:
        levels.append((total, weight))
        if min(weight.shape) <= 2:
            break
        pulled = cv2.pyrDown(np.dstack([total, weight]))
        full = np.minimum(1, 2 * pulled[..., 3])
        total = pulled[..., :3] * (full / np.maximum(pulled[..., 3], 1e-6))[..., None]
        weight = full
    total, weight = levels.pop()
    out = total / np.maximum(weight, 1e-6)[..., None]
    for total, weight in reversed(levels):
        pushed = cv2.pyrUp(out, dstsize=weight.shape[::-1])
        out = total + (1 - weight[..., None]) * pushed
    return np.asarray(out, np.float32)


def _is_grey(pixels: ByteImage) -> bool:
    """Whether pixels (N, 3) are those of a black and white photo."""
    return not pixels.size or float(np.ptp(pixels.astype(np.float32), axis=1).mean()) < _GREY * 255


def _blurred(area: NDArray[np.bool_], sigma: float) -> FloatImage:
    """An area (H, W) as weights (H, W, 1), 0-1, with a soft edge."""
    return np.asarray(cv2.GaussianBlur(np.asarray(area, np.float32), (0, 0), max(0.5, sigma)), np.float32)[..., None]


def _disc(radius: float) -> NDArray[np.uint8]:
    side = 2 * max(1, round(radius)) + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), np.uint8)
