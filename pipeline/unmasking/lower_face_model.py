"""A statistical model of the lower face: what nose, mouth and chin are likely below given eyes and cheekbones.

An appearance model without shape modes (Cootes, Edwards, Taylor 2001, Active Appearance Models): each training face is
warped to the mean landmarks, and the principal components of their colours are kept. For a masked face the components
are estimated from the part that is seen, with their Gaussian prior (Blanz, Mehl, Vetter, Seidel 2004, A statistical
method for robust 3D surface reconstruction from sparse data, eq. 13). Pixels that no face explains, such as glasses and
hair, get low weights (iteratively reweighted least squares, Cauchy weights). The landmarks give the position; MediaPipe
guesses those under a mask.

Colours are logarithms, relative to the skin's: exposure and white balance are additive there.
"""

import io
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from pipeline.faces import regions
from pipeline.masks.records import ByteImage, FloatImage, Points, UnmaskedFace
from pipeline.masks.warp import dense_map, fit_spline, resample

WEIGHTS = Path(__file__).with_name("lower_face.npz")

SIDE = 256  # px of FFHQ's frame in which the faces are averaged
SEEN_SIDE = 64  # px of the same frame in which the seen part is compared
_MODES = 24
_PRIOR = 1.0  # weight of the components' prior relative to the seen pixels, per thousand
_ROUNDS = 4  # of reweighting
_LONGEST = 2.5  # of the components, in standard deviations: farther from the mean faces look old and stained
_APART = 0.022  # least distance of the landmarks that warps go through, as a share of the frame
_LANDMARKS = 468  # without the irises
_SHADED = 0.4  # the darkest share of the seen skin, which is left out of its colour: hair, glasses, shadows
_SHARPENED, _SHARPENED_OVER = 1.0, 0.9  # what is added of the finest detail; px: the mean of many faces is smooth
_FINE = 3.0  # px of SIDE: what is finer is skin's texture, such as wrinkles and stubble
_TEXTURE, _LEAST_TEXTURE = 0.8, 0.2  # of the skin's texture that a face gets at most; of its own, at least
_REDDER, _ENOUGH = 0.05, 0.1  # logarithm of red over green; share of the pixels
_BROWS = (66, 296, 105, 334)  # below them a face is compared: fringes and hats come down to the brows
_MARGIN = 0.05  # of the stored part around the lower face, as a share of the frame
_DARKEST, _BRIGHTEST = 8.0, 263.0  # of the logarithm: its slope is bounded in the dark
_RESOLUTION = 127  # steps of a stored component


@dataclass(frozen=True)
class LowerFaceModel:
    """The mean face, and how faces vary."""

    shape: Points  # (478, 2) mean landmarks, shares of FFHQ's frame; symmetric
    corner: tuple[int, int]  # row and column of the stored part in the frame of SIDE px
    mean: FloatImage  # (H, W, 3) of the stored part: logarithms of colours relative to the skin's
    modes: NDArray[np.float32]  # (K, H, W, 3)
    seen_mean: NDArray[np.float32]  # (S,) of the seen pixels of SEEN_SIDE px, RGB
    seen_modes: NDArray[np.float32]  # (K, S)
    variances: NDArray[np.float32]  # (K,) of the components

    @cached_property
    def controls(self) -> NDArray[np.int64]:
        """The landmarks that warps go through: far enough apart for a smooth spline."""
        kept = [0]
        for place in range(_LANDMARKS):
            if np.hypot(*(self.shape[kept] - self.shape[place]).T).min() > _APART:
                kept.append(place)
        return np.array(kept)

    @cached_property
    def seen(self) -> NDArray[np.bool_]:
        """(SEEN_SIDE, SEEN_SIDE): the pixels that are compared."""
        return _seen_part(self.shape)[0]

    @cached_property
    def skin(self) -> NDArray[np.bool_]:
        """(SEEN_SIDE, SEEN_SIDE): those that show skin, on the forehead too."""
        return _seen_part(self.shape)[1]


def draw_lower_face(face: UnmaskedFace, model: LowerFaceModel, texture: float = np.inf) -> FloatImage:
    """The likely lower face (H, W, 3) RGB 0-255 for a picture of a masked face, in its place.

    Only the part between the brows and a mask's upper edge is read. `texture` is that of the skin around (texture_of):
    the drawn face's is weakened where it is stronger. Far from the lower face the values mean nothing.
    """
    height, width = face.image.shape[:2]
    seen = _warped_seen(face, model.shape, model.controls)
    skin = skin_colour(seen[model.skin])
    components = estimate_components((seen[model.seen] - skin).ravel() - model.seen_mean, model)
    own = np.asarray(np.tensordot(components, model.modes, 1), np.float32)
    drawn = np.asarray(model.mean + _with_texture(own, texture) + skin, np.float32)
    drawn += _SHARPENED * (drawn - cv2.GaussianBlur(drawn, (0, 0), _SHARPENED_OVER))
    landmarks = face.landmarks[model.controls].astype(np.float64) * (width, height) - 0.5
    shape = model.shape[model.controls] * SIDE - 0.5 - model.corner[::-1]
    positions = dense_map(fit_spline(landmarks, shape), height, width)
    return to_colours(resample(drawn, positions, cv2.BORDER_REPLICATE))


def texture_of(logarithms: FloatImage, skin: NDArray[np.bool_], side: int) -> float:
    """How strong the texture of the pixels `skin` (H, W) is, in logarithms of brightness; 0 of none.

    `logarithms` (H, W, 3) are of a part of a picture of `side` px.
    """
    brightness = logarithms.mean(axis=2)
    fine = brightness - cv2.GaussianBlur(brightness, (0, 0), _FINE / SIDE * side)
    return float(np.median(np.abs(fine[skin]))) if skin.any() else 0.0


def _with_texture(own: FloatImage, texture: float) -> FloatImage:
    """What a face adds to the mean one (H, W, 3), SIDE px, with its texture weakened to that of the skin around."""
    strength = texture_of(own, np.ones(own.shape[:2], np.bool_), SIDE)
    kept = float(np.clip(_TEXTURE * texture / max(strength, 1e-6), _LEAST_TEXTURE, 1))
    smooth = np.asarray(cv2.GaussianBlur(own, (0, 0), _FINE), np.float32)
    return smooth + kept * (own - smooth)


def estimate_components(seen: NDArray[np.float32], model: LowerFaceModel) -> NDArray[np.float32]:
    """The components (K,) of a face of which the pixels `seen` (S,), relative to their mean, are known.

    Faces that are farther from the mean than _LONGEST are moved towards it: washed out photos, and faces that are
    turned away, are explained by what few faces have.
    """
    modes, weights = model.seen_modes, np.ones_like(seen)
    prior = np.diag(1e-3 * _PRIOR * len(seen) / model.variances)
    components = np.zeros(len(modes), np.float32)
    for _ in range(_ROUNDS):
        weighted = modes * weights
        components = np.linalg.solve(weighted @ modes.T + prior, weighted @ seen)
        errors = np.abs(seen - components @ modes)
        weights = 1 / (1 + (errors / (3 * np.median(errors) + 1e-3)) ** 2)
    length = float(np.linalg.norm(components / np.sqrt(model.variances)))
    return np.asarray(components * min(1, _LONGEST / max(length, 1e-6)), np.float32)


def fit_model(faces: list[UnmaskedFace]) -> LowerFaceModel:
    """Fit the model to pictures of bare faces in FFHQ's frame, and to their mirror images."""
    landmarks = np.stack([face.landmarks for face in faces]).astype(np.float64)
    shape, mirror = _symmetric_shape(landmarks.mean(axis=0))
    corner, size = _stored_part(shape)
    blank = LowerFaceModel(shape, corner, *(np.zeros(1, np.float32) for _ in range(5)))
    below, seen, skins = [], [], []
    for face in [*faces, *(_mirrored(face, mirror) for face in faces)]:
        colours = _warped_seen(face, shape, blank.controls)
        skins.append(skin_colour(colours[blank.skin]))
        seen.append((colours[blank.seen] - skins[-1]).ravel())
        below.append(_warped_stored(face, blank, size) - skins[-1])
    of_seen, of_below = np.stack(seen), np.stack(below)
    mean, seen_mean = of_below.mean(axis=0), of_seen.mean(axis=0)
    of_seen, of_below = of_seen - seen_mean, (of_below - mean).reshape(len(below), -1)
    # Components of both parts together, each weighing as much as the other.
    joint = np.hstack([of_below / np.sqrt(of_below.shape[1]), of_seen / np.sqrt(of_seen.shape[1])])
    values, vectors = np.linalg.eigh(joint @ joint.T)
    kept = min(_MODES, len(below) - 1)  # no more vary about their mean
    values, vectors = values[::-1][:kept], vectors[:, ::-1][:, :kept] / np.sqrt(values[::-1][:kept])
    return LowerFaceModel(
        shape,
        corner,
        mean.astype(np.float32),
        (vectors.T @ of_below).reshape(-1, *size, 3).astype(np.float32),
        seen_mean.astype(np.float32),
        (vectors.T @ of_seen).astype(np.float32),
        (values / len(below)).astype(np.float32),
    )


def write_model(model: LowerFaceModel) -> bytes:
    """The model as a file: NumPy's .npz, the components in steps of 1/127 of their largest value."""
    scales = np.abs(model.modes).max(axis=(1, 2, 3))
    steps = np.rint(model.modes / scales[:, None, None, None] * _RESOLUTION).astype(np.int8)
    file = io.BytesIO()
    np.savez_compressed(
        file,
        shape=model.shape.astype(np.float32),
        corner=np.array(model.corner),
        mean=model.mean.astype(np.float16),
        modes=steps,
        scales=scales,
        seen_mean=model.seen_mean,
        seen_modes=model.seen_modes,
        variances=model.variances,
    )
    return file.getvalue()


def read_model(content: bytes) -> LowerFaceModel:
    """The model of a file that `write_model` made."""
    with np.load(io.BytesIO(content), allow_pickle=False) as stored:
        scales = stored["scales"][:, None, None, None] / _RESOLUTION
        row, column = stored["corner"].tolist()
        return LowerFaceModel(
            stored["shape"].astype(np.float64),
            (row, column),
            stored["mean"].astype(np.float32),
            (stored["modes"] * scales).astype(np.float32),
            *(stored[name] for name in ("seen_mean", "seen_modes", "variances")),
        )


@cache
def packaged_model() -> LowerFaceModel:
    """The model that comes with the code; README.md beside it is its card."""
    return read_model(WEIGHTS.read_bytes())


def to_logarithms(image: ByteImage | FloatImage) -> FloatImage:
    """RGB 0-255 -> logarithms."""
    return np.asarray(np.log((image.astype(np.float32) + _DARKEST) / _BRIGHTEST), np.float32)


def to_colours(logarithms: FloatImage) -> FloatImage:
    """Logarithms -> RGB 0-255, clipped."""
    return np.asarray((np.exp(logarithms) * _BRIGHTEST - _DARKEST).clip(0, 255), np.float32)


def skin_colour(pixels: FloatImage) -> NDArray[np.float32]:
    """The colour (3,) of skin of which the pixels (N, 3) are seen, as logarithms, among hair, hats and glasses.

    Skin is redder than them, and lighter: of what may be skin the darkest pixels do not count.
    """
    pixels = pixels[may_be_skin(pixels)]
    lit = pixels[np.argsort(pixels.sum(axis=1), kind="stable")][int(_SHADED * len(pixels)) :]
    return np.asarray(np.median(lit, axis=0), np.float32)


def may_be_skin(pixels: FloatImage) -> NDArray[np.bool_]:
    """Which pixels (N, 3), as logarithms, are redder than green; all where less than a tenth is: a grey photo."""
    red = np.asarray(pixels[:, 0] > pixels[:, 1] + _REDDER, np.bool_)
    return red if red.sum() >= _ENOUGH * len(red) else np.ones_like(red)


def _warped_seen(face: UnmaskedFace, shape: Points, controls: NDArray[np.int64]) -> FloatImage:
    """The face's colours as logarithms (SEEN_SIDE, SEEN_SIDE, 3), warped to the mean landmarks."""
    return to_logarithms(_warped(face, shape[controls] * SEEN_SIDE - 0.5, controls, (SEEN_SIDE, SEEN_SIDE)))


def _warped_stored(face: UnmaskedFace, model: LowerFaceModel, size: tuple[int, int]) -> FloatImage:
    """The same of the part that is stored, (*size, 3)."""
    places = model.shape[model.controls] * SIDE - 0.5 - model.corner[::-1]
    return to_logarithms(_warped(face, places, model.controls, size))


def _warped(face: UnmaskedFace, places: Points, controls: NDArray[np.int64], size: tuple[int, int]) -> FloatImage:
    """The picture, warped so that the landmarks `controls` are at `places`, px, of an image of `size`: (*size, 3)."""
    height, width = face.image.shape[:2]
    landmarks = face.landmarks[controls].astype(np.float64) * (width, height) - 0.5
    zoom = float(np.hypot(*np.ptp(landmarks, axis=0)) / np.hypot(*np.ptp(places, axis=0)))
    image = np.asarray(face.image, np.float32)
    if zoom > 1:  # sampling would skip pixels
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), 0.4 * zoom), np.float32)
    positions = dense_map(fit_spline(places, landmarks), *size)
    return resample(image, positions, cv2.BORDER_REPLICATE).clip(0, 255)


def _seen_part(shape: Points) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Of SEEN_SIDE px: the face between brows and lower face; and what shows skin, on the forehead too."""
    points = shape.astype(np.float32)

    def filled(polygon: tuple[int, ...]) -> NDArray[np.bool_]:
        return regions.polygon_mask(points, polygon, SEEN_SIDE, SEEN_SIDE) > 0

    rows = np.arange(SEEN_SIDE)[:, None] / SEEN_SIDE
    lower = cv2.dilate(regions.lower_face_mask(points, SEEN_SIDE, SEEN_SIDE), np.ones((3, 3), np.uint8)) > 0
    seen = filled(regions.FACE_OVAL) & ~lower & (rows > shape[list(_BROWS), 1].max())
    eyes = np.asarray(filled(regions.EYES[0]) | filled(regions.EYES[1]), np.uint8)
    skin = seen & ~(cv2.dilate(eyes, np.ones((3, 3), np.uint8)) > 0)
    return seen, skin | filled(regions.FOREHEAD_ABOVE_BROWS)


def _stored_part(shape: Points) -> tuple[tuple[int, int], tuple[int, int]]:
    """The part of the frame that is stored: row and column of its corner, and its size, px."""
    rows, columns = np.nonzero(regions.lower_face_mask(shape.astype(np.float32), SIDE, SIDE))
    margin = round(_MARGIN * SIDE)
    (top, left), (bottom, right) = (
        (max(0, int(rows.min()) - margin), max(0, int(columns.min()) - margin)),
        (min(SIDE, int(rows.max()) + margin + 1), min(SIDE, int(columns.max()) + margin + 1)),
    )
    return (top, left), (bottom - top, right - left)


def _symmetric_shape(shape: Points) -> tuple[Points, NDArray[np.int64]]:
    """Landmarks (478, 2) made symmetric; and for each landmark the index of its mirror image."""
    mirrored = shape * (-1, 1) + (2 * shape[:_LANDMARKS, 0].mean(), 0)
    distances = np.hypot(*(shape[:, None] - mirrored[None]).transpose(2, 0, 1))
    mirror = linear_sum_assignment(distances)[1]
    flipped = shape[mirror] * (-1, 1) + (1, 0)
    return (shape + flipped) / 2, np.asarray(mirror, np.int64)


def _mirrored(face: UnmaskedFace, mirror: NDArray[np.int64]) -> UnmaskedFace:
    landmarks = face.landmarks[mirror] * np.array([-1, 1], np.float32) + np.array([1, 0], np.float32)
    return UnmaskedFace(np.ascontiguousarray(face.image[:, ::-1]), landmarks)
