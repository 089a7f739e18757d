"""The blur and the noise of a photo, estimated in its face, so that a mask can be given the same."""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from pipeline.masks.fit import face_width
from pipeline.masks.records import ByteImage, FloatImage, Points

_EYES = (33, 263, 10, 1)  # outer corners of the eyes, forehead, tip of the nose: around the sharpest part of a face
_SHARP = 1.15  # px: the blur that the estimate gives for a sharp photo
_MOST_BLUR = 0.02  # share of the face's width
_NOISE_KERNEL = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
_MOST_NOISE = 12.0  # grey levels
_TILE = 512


@dataclass(frozen=True)
class PhotoTexture:
    """What a camera and a file did to a photo."""

    blur: float  # sigma in px, beyond that of a sharp photo
    noise: float  # standard deviation in grey levels


def photo_texture(image: ByteImage, face: Points) -> PhotoTexture:
    """Estimate blur and noise around the eyes and on the forehead. `face` (478, 2) is in px.

    Blur: a blurred edge loses less by another blur (Zhuo and Sim 2011); the strongest edges are compared. Noise: the
    second differences both ways (Immerkaer 1996) in the smoothest fifth of the regions.
    """
    low, high = face[list(_EYES)].min(axis=0), face[list(_EYES)].max(axis=0)
    left, top = np.clip(np.floor(low), 0, None).astype(int)
    right, bottom = np.clip(np.ceil(high), 0, image.shape[1::-1]).astype(int)
    if min(right - left, bottom - top) < 16:
        return PhotoTexture(0.0, 0.0)
    part = cv2.cvtColor(np.ascontiguousarray(image[top:bottom, left:right]), cv2.COLOR_RGB2GRAY)
    grey = np.asarray(part, np.float32)
    return PhotoTexture(_blur(grey, face_width(face)), _noise(grey))


def add_grain(colour: FloatImage, noise: float) -> FloatImage:
    """Return the colours (H, W, 3) with grain, the same at each call, of a standard deviation in grey levels."""
    height, width = colour.shape[:2]
    rows, columns = -(-height // _TILE), -(-width // _TILE)
    grain = np.tile(_grain(), (rows, columns))[:height, :width]
    return np.asarray(colour + noise * grain[..., None], np.float32)


def _blur(grey: FloatImage, unit: float) -> float:
    """The blur of the strongest edges, sigma in px; `unit` is the face's width."""
    again = max(1.0, 0.006 * unit)
    strongest = [float(np.quantile(_gradient(picture), 0.98)) for picture in (grey, _blurred(grey, again))]
    ratio = strongest[0] / max(strongest[1], 1e-3)
    sigma = again / np.sqrt(max(ratio**2 - 1, 1e-2))
    return float(np.clip(np.sqrt(max(0.0, sigma**2 - _SHARP**2)), 0, _MOST_BLUR * unit))


def _blurred(grey: FloatImage, sigma: float) -> FloatImage:
    return np.asarray(cv2.GaussianBlur(grey, (0, 0), sigma), np.float32)


def _gradient(grey: FloatImage) -> FloatImage:
    across, down = (cv2.Sobel(grey, cv2.CV_32F, x, 1 - x) for x in (1, 0))
    return np.asarray(cv2.magnitude(across, down), np.float32)


def _noise(grey: FloatImage) -> float:
    """The noise of the smoothest regions, grey levels."""
    side = max(5, min(grey.shape) // 8)
    local = cv2.blur(np.abs(cv2.filter2D(grey, cv2.CV_32F, _NOISE_KERNEL)), (side, side))[:: side // 2, :: side // 2]
    return min(_MOST_NOISE, float(np.quantile(local, 0.2) * np.sqrt(np.pi / 2) / 6))


@cache
def _grain() -> FloatImage:
    """Noise (_TILE, _TILE) of which _noise is 1: white noise, slightly blurred as by a sensor's colour filter."""
    white = np.random.default_rng(0).standard_normal((_TILE, _TILE), np.float32)
    grain = _blurred(white, 0.5)
    return np.asarray(grain / _noise(grain), np.float32)
