"""Fabrics and fits of training examples: all that masks.textures and masks.fit draw, and those that are harder."""

import cv2
import numpy as np

from pipeline.faces.alignment import ffhq_frame
from pipeline.masks.fit import MaskFit, draw_any_fit
from pipeline.masks.records import HEIGHT, WIDTH, FloatImage, Points, UnmaskedFace
from pipeline.masks.textures import draw_texture, noise, white_texture

_SKIN = (50, 280, 151, 205, 425)  # landmarks of bare skin: cheeks and forehead


def draw_fabric(rng: np.random.Generator, wearer: UnmaskedFace, other: UnmaskedFace) -> FloatImage | None:
    """Draw a fabric (HEIGHT, WIDTH, 3) RGB 0-255 for a mask; None leaves it to the design.

    Some are white, some have the wearer's own skin colour, and some are prints of the face `other`.
    """
    kind = rng.random()
    if kind < 0.12:
        return white_texture(rng)
    if kind < 0.22:
        return _skin_fabric(rng, skin_colour(wearer))
    if kind < 0.30:
        return _face_print(rng, other)
    if kind < 0.35:
        return None
    return draw_texture(rng, other.image.astype(np.float32))


def draw_varied_fit(rng: np.random.Generator) -> MaskFit:
    """Draw any fit, and more often than masks.fit does: short, far too large, narrow, tilted and shifted ones."""

    def within(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    kind, side = rng.random(), float(rng.choice([-1, 1]))
    tilt, arch = within(-0.1, 0.1), within(-0.1, 0.3)
    if kind < 0.5:
        return draw_any_fit(rng)
    if kind < 0.66:  # short: the chin is bare, or part of it
        return MaskFit(within(0.5, 1.4), within(3.1, 4.2), -within(0.5, 1.05), within(0.5, 1.05), tilt, arch)
    if kind < 0.72:  # short in width: the cheeks are bare, and yet the mask is worn correctly
        return MaskFit(within(0.6, 1.2), within(4.0, 4.6), -within(0.4, 0.75), within(0.4, 0.75), tilt, arch)
    if kind < 0.82:  # far too large
        return MaskFit(within(0.4, 1.3), within(4.3, 5.5), -within(1.0, 1.6), within(1.0, 1.6), tilt, arch)
    if kind < 0.89:  # over one eye
        return MaskFit(
            within(0.1, 1.0), within(3.4, 5.0), -within(0.8, 1.3), within(0.8, 1.3), side * within(0.4, 1.1), arch
        )
    middle, half = side * within(0.2, 0.8), within(0.65, 1.2)  # shifted: one cheek is bare, or part of it
    return MaskFit(within(0.5, 1.6), within(3.8, 4.9), middle - half, middle + half, within(-0.4, 0.4), arch)


def skin_colour(face: UnmaskedFace) -> FloatImage:
    """The median colour (3,), RGB 0-255, of the cheeks and the forehead."""
    height, width = face.image.shape[:2]
    at = (face.landmarks[list(_SKIN)] * (width, height)).astype(int).clip(0, (width - 1, height - 1))
    return np.asarray(np.median(face.image[at[:, 1], at[:, 0]], axis=0), np.float32)


def _skin_fabric(rng: np.random.Generator, skin: FloatImage) -> FloatImage:
    """A fabric of nearly the colour `skin` (3,), plain or with spots of a similar colour."""
    colour = skin * rng.uniform(0.75, 1.2) * rng.uniform(0.94, 1.06, 3)
    spots = np.zeros((HEIGHT, WIDTH), np.float32)
    if rng.random() < 0.4:
        spots = np.clip(3 * noise(rng, int(rng.integers(2, 14))), 0, 1)
    return np.asarray(colour * (1 + rng.uniform(-0.3, 0.2) * spots[..., None]), np.float32)


def _face_print(rng: np.random.Generator, face: UnmaskedFace) -> FloatImage:
    """A print of a whole face, or of its lower half, at any place of the mask."""
    size = np.array(face.image.shape[1::-1], np.float64)
    centre, side = ffhq_frame(face.landmarks * size)
    if rng.random() < 0.4:  # nose, mouth and chin only, where the wearer's are
        side, centre = 0.45 * side, centre + np.array([0, 0.2 * side])
    scale = HEIGHT / side * rng.uniform(0.6, 1.3)
    middle: Points = np.array([WIDTH, HEIGHT]) * rng.uniform(0.35, 0.65, 2)
    matrix = np.column_stack([scale * np.eye(2), middle - scale * centre])
    border = cv2.BORDER_REFLECT_101
    return np.asarray(cv2.warpAffine(face.image, matrix, (WIDTH, HEIGHT), borderMode=border), np.float32)
