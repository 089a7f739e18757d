"""A mask lifted from a photo of somebody who wears it: a flat design with its colour, folds, shading and outline.

The sheet that the renderer bends over a bare face is laid over the masked face instead, and the photo is sampled at
its points: compositing.render_mask, backwards. The outline is the coverage network's map, in which a face is 32 px
wide, moved to the photo's edges by GrabCut (Rother, Kolmogorov and Blake 2004).
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.faces.alignment import CROP_SIDE, AlignedFace, align
from pipeline.faces.mask_coverage import segment_crops
from pipeline.faces.regions import BETWEEN_EYES, lower_face_mask, polygon_mask
from pipeline.masks.catalogue import Colour, Outline
from pipeline.masks.compositing import ACROSS, DOWN, MaskLayers, render_mask, sheet_places
from pipeline.masks.fit import MaskFit, Placement, place_mask, visible_shares
from pipeline.masks.light import exposed, overall_light, white_balance
from pipeline.masks.mask_set import CHIN_LEVEL, LiftedMask, worn_fit
from pipeline.masks.named_designs import MAX_WIDTH, MIN_WIDTH, outline_alpha, strap_colour
from pipeline.masks.records import HEIGHT, WIDTH, FloatImage, MaskDesign, Points, UnmaskedFace
from pipeline.masks.warp import Spline, dense_map, fit_spline, resample
from pipeline.masks.worn import PHOTOGRAPHED, draw_like

_TOP, _BOTTOM, _SIDE = -0.2, 4.7, 1.15  # of the sheet that is laid over the masked face: a mask lies within it
_DROPS, _RISES = (0.03, 0.24), (0.0, 0.14)  # of the outline
_LEAST_COVERED = 0.1  # of the sheet, from which there is a mask
_LEAST_SEEN, _LEAST_PX = 0.7, 40  # share of the mask that is seen, and its width in its photo
_STRETCH = (0.9, 1.5)  # of the lower face: under a mask the landmarks show the chin too high
_ROUNDNESS = 0.2  # by how much a drawn mask is darker at its sides
_GREY = np.array((0.299, 0.587, 0.114), np.float32)
_LIGHTNESS_LESS = np.array((0.5, 1.0, 1.0), np.float32)  # of CIELAB: shadows on skin or cloth are not another colour
_SEARCH_PX = (96, 128)  # height and width of the sheet on which the edges are found
_NOSE_TIP, _CHIN, _LOWER_LIP = 1, 152, 17
_TURNED = (0.09, 0.09)  # of the nose from the middle of the face, as a share of its width: from where on the far side
# is replaced, and after how much more it is replaced wholly

_Sampler = Callable[[NDArray[np.float32]], FloatImage]


@dataclass(frozen=True)
class MaskReference:
    """The mask in a photo, as an example to draw others by."""

    lifted: LiftedMask | None  # None: it cannot be lifted, and a drawn mask takes its colour
    colour: Colour
    digest: str  # sha256 of the photo's file


@dataclass(frozen=True)
class _Edges:
    """The edges of a mask on the sheet: parabolas of |across|, and a side."""

    upper: NDArray[np.float64]  # coefficients: sheet coordinate down, for |across|
    lower: NDArray[np.float64]
    side: float  # |across|

    def at(self, across: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The upper and the lower edge at the sheet coordinates `across`."""
        distance = np.abs(across)
        return np.asarray(np.polyval(self.upper, distance)), np.asarray(np.polyval(self.lower, distance))


def draw_reference(face: UnmaskedFace, rng: np.random.Generator, reference: MaskReference) -> MaskLayers:
    """Draw the mask of a photo on another face; where it cannot be lifted, a mask that has its colour."""
    if reference.lifted is None:
        return draw_like(face, rng, reference.colour)
    return render_mask(face, reference.lifted.design, reference.lifted.fit, PHOTOGRAPHED)


def lift_mask(face: UnmaskedFace) -> LiftedMask | None:
    """Lift the mask off a masked face, its picture and landmarks.

    None if there is no mask on it, or too little of it can be seen, or it is too small.
    """
    aligned = align(face.image, face.landmarks)
    map_ = segment_crops([aligned.crop])[0, 0]
    matte = _map_sampler(map_, aligned.matrix)
    placement = place_mask(_with_chin_at_edge(face, map_, aligned), MaskFit(_TOP, _BOTTOM, -_SIDE, _SIDE, 0.0, 0.0))
    near = _near_side(placement)
    to_picture = _sheet_map(sheet_places(placement))
    sheet = _sheet_positions(to_picture)
    edges = _find_edges(matte(sheet) * _in_picture(sheet, face), near)
    if edges is None:
        return None
    ends = to_picture(np.array([[-edges.side, 0.5], [edges.side, 0.5]]))
    width_px = round(float(np.hypot(*(ends[1] - ends[0]))))
    width = int(np.clip(width_px, MIN_WIDTH, MAX_WIDTH))
    height, outline = round(width * HEIGHT / WIDTH), _outline(edges)
    positions = _flat_positions(to_picture, edges, outline, (height, width))
    seen = matte(positions) * _in_picture(positions, face)
    if width_px < _LEAST_PX or float((seen > 0.5).mean()) < _LEAST_SEEN:
        return None
    skin = _skin(face)
    colour = resample(face.image.astype(np.float32), positions, cv2.BORDER_REPLICATE).clip(0, 255)
    alpha = outline_alpha(outline, height, width)
    trusted = _trusted(colour, seen, near, skin)
    exposure = min(1.0, overall_light(float(skin @ _GREY))) * _cast(face, skin)
    colour = _completed(_without_side_light(colour / exposure, trusted, near), trusted)
    fabric = np.asarray(np.median(colour[alpha > 0.5], axis=0).clip(0, 255), np.uint8).reshape(1, 1, 3)
    design = MaskDesign(np.asarray(np.dstack([colour, alpha]), np.float32), "loops", strap_colour(fabric))
    top = _TOP + edges.at(np.zeros(1))[0][0] * (_BOTTOM - _TOP)
    return LiftedMask(design, worn_fit(top, edges.side * _SIDE), width_px)


def _with_chin_at_edge(face: UnmaskedFace, map_: FloatImage, aligned: AlignedFace) -> UnmaskedFace:
    """The face with its landmarks below the nose stretched, so that the chin is where the mask ends."""
    points = aligned.points * CROP_SIDE
    nose, chin, lip = points[_NOSE_TIP, 1], points[_CHIN, 1], points[_LOWER_LIP, 1]
    column = int(np.clip(points[_CHIN, 0] / 2, 4, 27))
    covered = np.flatnonzero((map_[:, column - 3 : column + 4] > 0.5).mean(axis=1) > 0.5)
    if not covered.size:
        return face
    edge = 2.0 * (covered[-1] + 1) - 0.5
    expected = chin + (CHIN_LEVEL - 4) * 0.75 * (chin - lip)
    stretch = float(np.clip((edge - nose) / max(expected - nose, 1.0), *_STRETCH))
    moved = points.astype(np.float64)
    moved[:, 1] += (stretch - 1) * np.maximum(moved[:, 1] - nose, 0)
    back = cv2.invertAffineTransform(aligned.matrix)
    px = moved @ back[:, :2].T + back[:, 2]
    return UnmaskedFace(face.image, (px / face.image.shape[1::-1]).astype(np.float32))


def _map_sampler(map_: FloatImage, matrix: NDArray[np.float64]) -> _Sampler:
    """A function that samples a map of an aligned crop at positions (h, w, 2) in the picture's px.

    `matrix` (2, 3) leads from the picture's px to the crop's, which has twice the map's size.
    """

    def sample(positions: NDArray[np.float32]) -> FloatImage:
        in_map = (positions @ matrix[:, :2].T + matrix[:, 2] + 0.5) / 2 - 0.5
        return resample(map_, in_map.astype(np.float32), cv2.BORDER_CONSTANT).clip(0, 1)

    return sample


def _sheet_map(places: NDArray[np.float64]) -> Spline:
    """The map from sheet coordinates (N, 2), -1 to 1 across and 0 to 1 down, to the picture's px, for sheet_places."""
    across, down = (axis.ravel() for axis in np.meshgrid(ACROSS, DOWN))
    return fit_spline(np.column_stack([across, down]), places.reshape(-1, 2))


def _sheet_positions(to_picture: Spline) -> NDArray[np.float32]:
    """Where the points of the sheet are in the picture, (*_SEARCH_PX, 2) px."""
    height, width = _SEARCH_PX
    down, across = (axis.ravel() for axis in np.mgrid[0 : 1 : height * 1j, -1 : 1 : width * 1j])
    return to_picture(np.column_stack([across, down])).reshape(height, width, 2).astype(np.float32)


def _flat_positions(to_picture: Spline, edges: _Edges, outline: Outline, size: tuple[int, int]) -> NDArray[np.float32]:
    """Where the pixels of the flat drawing, of a size (h, w), are in the picture, (h, w, 2) px.

    Each column of the worn mask is stretched between the edges of the outline: the mask's own hems are at its edges.
    """
    height, width = size

    def from_drawing(pixels: Points) -> Points:
        across, down = pixels[:, 0] / (width - 1) * 2 - 1, pixels[:, 1] / (height - 1)
        above, below = (rise * across**2 for rise in (outline.upper_drop, outline.lower_rise))
        share = ((down - above) / np.maximum(1 - above - below, 0.2)).clip(-0.1, 1.1)
        upper, lower = edges.at(across * edges.side)
        return to_picture(np.column_stack([across * edges.side, upper + share * (lower - upper)]))

    return dense_map(from_drawing, height, width)


def _near_side(placement: Placement) -> float:
    """Which side of a turned face is near: its sign, and how much the face is turned, 0-1."""
    first = visible_shares(placement.face)[0]
    turned = float(np.clip((abs(first - 0.5) - _TURNED[0]) / _TURNED[1], 0, 1))
    return -turned if first >= 0.5 else turned


def _find_edges(matte: FloatImage, near: float) -> _Edges | None:
    """The edges of what covers the sheet; None if hardly anything does. `near` is of _near_side."""
    height, width = matte.shape
    covered = np.asarray(matte > 0.5, np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(covered)
    largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax()) if count > 1 else 0
    if not largest or stats[largest, cv2.CC_STAT_AREA] < _LEAST_COVERED * covered.size:
        return None
    mask = labels == largest
    across, down = np.linspace(-1, 1, width), np.linspace(0, 1, height)
    if abs(near) > 0.5:
        mask[:, across * near < -0.2] = False
    columns = np.flatnonzero(mask.sum(axis=0) > 0.2 * height)
    if len(columns) < 8:
        return None
    # The median of the rows' ends, in the middle of the mask: a strap or hair changes few of them.
    rows = np.flatnonzero(mask.any(axis=1))
    rows = rows[len(rows) // 5 : -len(rows) // 5]
    ends = [np.abs(across[np.flatnonzero(mask[row])]).max() for row in rows if mask[row].any()]
    side = float(np.median(ends))
    columns = columns[np.abs(across[columns]) < 0.92 * side]
    if len(columns) < 8:
        return None
    upper = down[mask[:, columns].argmax(axis=0)]
    lower = 1 - down[mask[::-1, columns].argmax(axis=0)]
    return _Edges(
        _robust_parabola(np.abs(across[columns]), upper), _robust_parabola(np.abs(across[columns]), lower), side
    )


def _robust_parabola(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """A parabola through points, which those far from it influence little (iteratively reweighted least squares)."""
    weights = np.ones_like(y)
    for _ in range(8):
        found = np.polyfit(x, y, 2, w=weights)
        weights = 1 / np.sqrt(0.02 + np.abs(np.polyval(found, x) - y))
    return np.asarray(found)


def _outline(edges: _Edges) -> Outline:
    """The flat outline of a mask with these edges, within what masks have."""
    upper, lower = edges.at(np.array([0.0, edges.side]))
    height = max(float(lower[0] - upper[0]), 0.1)
    drop = float(np.clip((upper[1] - upper[0]) / height, *_DROPS))
    rise = float(np.clip((lower[0] - lower[1]) / height, *_RISES))
    return Outline(drop, 2.0, rise, 2.0, taper=0.03, corner_radius=0.1)


def _in_picture(positions: NDArray[np.float32], face: UnmaskedFace) -> FloatImage:
    """1 where positions (h, w, 2) px are within a face's picture, else 0: its repeated edge would give streaks."""
    limits = np.array(face.image.shape[1::-1], np.float32) - 1
    return np.asarray(((positions >= 0) & (positions <= limits)).all(axis=2), np.float32)


def _trusted(colour: FloatImage, matte: FloatImage, near: float, skin: FloatImage) -> FloatImage:
    """How surely the mask is seen, (H, W) 0-1: where the network sees it, no skin is seen, and on the near side."""
    width = matte.shape[1]
    across = np.linspace(-1, 1, width, dtype=np.float32)[None]
    sure = np.clip((matte - 0.6) / 0.3, 0, 1)
    lab = cv2.cvtColor(colour / 255, cv2.COLOR_RGB2LAB) * _LIGHTNESS_LESS
    middle = np.median(lab[matte > 0.9], axis=0) if (matte > 0.9).any() else np.median(lab, axis=(0, 1))
    of_skin = cv2.cvtColor(skin.reshape(1, 1, 3) / 255, cv2.COLOR_RGB2LAB)[0, 0] * _LIGHTNESS_LESS
    to_skin, to_mask = (np.linalg.norm(lab - place, axis=2) for place in (of_skin, middle))
    is_skin = cv2.GaussianBlur(np.asarray(to_skin < 0.7 * to_mask, np.float32), (0, 0), 0.012 * width)
    is_skin = 3 * is_skin * np.clip((0.99 - matte) / 0.1, 0, 1)  # within the mask it is a print
    far = abs(near) * np.clip(-np.sign(near) * across / 0.3, 0, 1)
    return np.asarray(sure * (1 - np.clip(is_skin, 0, 1)) * (1 - far), np.float32)


def _without_side_light(colour: FloatImage, trusted: FloatImage, near: float) -> FloatImage:
    """Colours (H, W, 3) without the light from a side.

    Light from a side is the part of the columns' brightness that is not the same on both sides. The rest is the mask's
    own shape. Of a turned face one half is seen: there all of it is taken out, and the shape of a drawn mask put in.
    """
    width = trusted.shape[1]
    grey = np.log(cv2.cvtColor(colour, cv2.COLOR_RGB2GRAY) + 8)
    columns = np.vstack([(grey * trusted).sum(axis=0), trusted.sum(axis=0)]).astype(np.float32) + 1e-4
    sums, weights = cv2.GaussianBlur(columns, (0, 0), sigmaX=0.1 * width, sigmaY=1e-3)
    seen = weights > 0.02 * weights.max()
    profile = sums / weights
    middle = float(np.average(profile, weights=weights))
    profile = np.where(seen, profile - middle, 0)
    both = seen & seen[::-1]
    one_sided = np.where(both, (profile - profile[::-1]) / 2, 0)
    shape = np.log(1 - _ROUNDNESS * np.abs(np.linspace(-1, 1, width)) ** 3)
    turned = min(1.0, 2 * abs(near))
    taken = (1 - turned) * one_sided + turned * (profile - shape)
    factors = np.exp(-taken.clip(-0.8, 0.8))
    return exposed(np.asarray(colour * factors[None, :, None], np.float32))


def _completed(colour: FloatImage, trusted: FloatImage) -> FloatImage:
    """Colours (H, W, 3) of the mask alone: where it is not seen, those of its other side, or of what is around."""
    width = trusted.shape[1]
    mirrored = trusted[:, ::-1] * (1 - trusted)
    total = trusted + mirrored
    known = colour * trusted[..., None] + colour[:, ::-1] * mirrored[..., None]
    out, weight = known, total
    for share in (0.01, 0.03, 0.1, 0.4):
        blurred = cv2.GaussianBlur(np.dstack([known, total]), (0, 0), share * width)
        added = np.clip(blurred[..., 3] * 4, 0, 1) * (1 - weight)
        out = out + blurred[..., :3] / np.maximum(blurred[..., 3:], 1e-6) * added[..., None]
        weight = weight + added
    return np.asarray(out / np.maximum(weight, 1e-6)[..., None], np.float32)


def _skin(face: UnmaskedFace) -> FloatImage:
    """The colour (3,) of the bare skin above a mask."""
    height, width = face.image.shape[:2]
    pixels = face.image[polygon_mask(face.landmarks, BETWEEN_EYES, height, width) > 0].astype(np.float32)
    if not len(pixels):
        return np.array((178, 146, 128), np.float32)
    grey = pixels @ _GREY
    return np.asarray(np.median(pixels[grey >= np.median(grey)], axis=0), np.float32)  # hair and glasses are darker


def _cast(face: UnmaskedFace, skin: FloatImage) -> FloatImage:
    """The cast (3,) of a masked face's picture: as light.white_balance finds it with skin in place of the mask."""
    height, width = face.image.shape[:2]
    image = face.image.copy()
    image[lower_face_mask(face.landmarks, height, width) > 0] = skin
    return white_balance(image, face.landmarks.astype(np.float64) * (width, height) - 0.5)
