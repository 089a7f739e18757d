"""The light on a mask, estimated from the face that it covers."""

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.faces.regions import EYES, FACE_OVAL, MOUTH
from pipeline.masks.fit import SIDES, face_width
from pipeline.masks.records import ByteImage, FloatImage, Points

_SMALL_FACE = 64  # px: width of the face at which the light is estimated; it has no finer detail
_TYPICAL_SKIN = 0.74  # blue relative to red of the mean face in FFHQ's public sample
_SHOULDER = 225.0  # grey levels: brighter colours are compressed
_MOST_CAST = 0.16  # the strongest cast that is followed, as a logarithm of blue relative to red


def face_light(image: ByteImage, face: Points) -> FloatImage:
    """Return factors (H, W) about 1: the low frequencies of the face's luminance. `face` (478, 2) is in px."""
    height, width = image.shape[:2]
    zoom = min(1.0, _SMALL_FACE / face_width(face))
    size = (max(2, round(zoom * width)), max(2, round(zoom * height)))
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    grey = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.float32)
    places = (face + 0.5) * np.array([size[0] / width, size[1] / height]) - 0.5
    oval = places[list(FACE_OVAL)]
    middle = oval.mean(axis=0)
    inside = np.zeros(grey.shape, np.uint8)
    cv2.fillPoly(inside, [np.rint(middle + 0.85 * (oval - middle)).astype(np.int32)], 1)
    for feature in (*EYES, MOUTH):  # dark, but not for lack of light
        cv2.fillPoly(inside, [np.rint(places[list(feature)]).astype(np.int32)], 0)
    weight = inside.astype(np.float32) + 1e-4
    # Blur within the face only (normalized convolution).
    weighted = np.dstack([grey * weight, weight]).astype(np.float32)
    blurred = np.asarray(cv2.GaussianBlur(weighted, (0, 0), 0.14 * face_width(places)), np.float32)
    mean = float((grey * weight).sum() / weight.sum())
    factors = overall_light(mean) * _relative_light(blurred[..., 0] / blurred[..., 1] / mean, inside, places)
    return np.asarray(cv2.resize(factors, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def overall_light(brightness: float) -> float:
    """Return the factor about 1 by which a face's mean brightness, in grey levels, shows more or less light."""
    # Dark skin does not mean a dark room: only part of the brightness is light.
    return float(np.clip((brightness / 150) ** 0.45, 0.62, 1.12))


def _relative_light(luminance: FloatImage, inside: NDArray[np.uint8], face: Points) -> FloatImage:
    """Return factors (H, W) about 1 from the face's relative luminance: light from the side more than from above.

    A face is darker below also because of beards, shadows of a brim and shining foreheads, which a mask does not have.
    So the logarithm is split into a plane across and down the face, and the rest.
    """
    across = face[SIDES[1]] - face[SIDES[0]]
    unit, middle = float(np.hypot(*across)), face[list(FACE_OVAL)].mean(axis=0)
    x, y = np.meshgrid(np.arange(luminance.shape[1]), np.arange(luminance.shape[0]))
    u = ((x - middle[0]) * across[0] + (y - middle[1]) * across[1]) / unit**2
    v = ((y - middle[1]) * across[0] - (x - middle[0]) * across[1]) / unit**2
    log = np.log(np.maximum(luminance, 1e-3))
    where = inside > 0
    if where.sum() < 16:
        return np.ones_like(luminance)
    terms = np.column_stack([np.ones(int(where.sum())), u[where], v[where]])
    _, slope_u, slope_v = np.linalg.lstsq(terms, log[where], rcond=None)[0]
    u, v = np.clip(u, -0.5, 0.5), np.clip(v, -0.6, 0.6)
    rest = np.clip(log, -1.2, 0.6) - slope_u * u - slope_v * v
    return np.asarray(np.clip(np.exp(0.9 * slope_u * u + 0.5 * slope_v * v + 0.45 * rest), 0.4, 1.35), np.float32)


def white_balance(image: ByteImage, face: Points) -> FloatImage:
    """Return factors (3,) RGB about 1: the picture's cast between yellow and blue, which its light has on the mask.

    The picture's mean colour and the colour of the skin both hint at the cast, and each may mislead: a blue wall, dark
    skin. So only the part that both show is followed.
    """
    small = np.asarray(cv2.resize(image, (64, 64), interpolation=cv2.INTER_AREA), np.float32) + 1
    around = np.log(small[..., 2].mean() / small[..., 0].mean()) + 0.12  # pictures of people are reddish on average
    places = (face[list(FACE_OVAL)] + 0.5) * (64 / image.shape[1], 64 / image.shape[0])
    middle = places.mean(axis=0)
    inside = np.zeros((64, 64), np.uint8)
    cv2.fillPoly(inside, [np.rint(middle + 0.7 * (places - middle)).astype(np.int32)], 1)
    if not inside.any():
        return np.ones(3, np.float32)
    skin = small[inside > 0].mean(axis=0)
    of_skin = np.log(skin[2] / skin[0] / _TYPICAL_SKIN)
    both = min(abs(around), abs(of_skin)) * np.sign(around) if around * of_skin > 0 else 0.0
    cast = float(np.clip(0.7 * both, -_MOST_CAST, _MOST_CAST))
    return np.asarray(np.exp(np.array([-cast / 2, 0.0, cast / 2])), np.float32)


def lit(colour: FloatImage, light: FloatImage, tint: FloatImage) -> FloatImage:
    """Return colours (H, W, 3) under light (H, W) of a tint (3,), RGB 0-255."""
    planes = [plane * (light * factor) for plane, factor in zip(cv2.split(colour), tint, strict=True)]
    return exposed(np.asarray(cv2.merge(planes), np.float32))


def exposed(colour: FloatImage) -> FloatImage:
    """Return colours (H, W, 3) with what is too bright for RGB 0-255 compressed; clipping would change its hue."""
    planes = cv2.split(colour)
    peak = np.asarray(cv2.max(cv2.max(planes[0], planes[1]), planes[2]), np.float32)
    if peak.max() <= _SHOULDER:
        return colour
    room = 255 - _SHOULDER
    kept = _SHOULDER - room * np.expm1(-np.maximum(peak - _SHOULDER, 0) / room)
    factor = np.where(peak > _SHOULDER, kept / np.maximum(peak, 1), 1).astype(np.float32)
    return np.asarray(cv2.merge([plane * factor for plane in planes]), np.float32)
