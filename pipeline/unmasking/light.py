"""The light of a photo on a drawn lower face, estimated from the skin around the mask."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.masks.records import FloatImage
from pipeline.unmasking.continuation import continued
from pipeline.unmasking.lower_face_model import to_colours, to_logarithms

# Of logarithms of colours: 0.4 is a factor of 1.5.
_NEAR = 0.5  # skin whose brightness differs by more from what is expected does not count for the common change
_LEAST = 0.05  # share of the ring that must be left for it; else no change is common: the ring is of glasses or hair
_BRIGHTNESS, _COLOUR = 0.4, 0.12  # distances from the common change at which a pixel's weight is half
_MOST = 0.5  # by how much more or less than the common change it changes at most
_ODD_BRIGHTNESS, _ODD_COLOUR = 0.38, 0.15  # distances from the common change from which a pixel may be no skin
_EXPECTED_SKIN = 0.02  # weight of a pixel under the mask, of which skin is expected, relative to a pixel of the ring
_REDUCED = 4  # px of the photo a pixel of the map of what is no skin
_LOCAL_COLOUR = 0.3  # share of the differences in colour that are continued; of those in brightness all are


@dataclass(frozen=True)
class Surroundings:
    """The part of a photo around a mask."""

    image: FloatImage  # (H, W, 3) RGB 0-255; where `replaced`, the colours around, continued
    replaced: NDArray[np.bool_]  # (H, W): the mask, and its edge
    oval: NDArray[np.bool_]  # (H, W): the face
    ring: NDArray[np.bool_]  # (H, W): what is near the mask and in the oval, but not near the eyes


def in_light_of(around: Surroundings, drawn: FloatImage) -> FloatImage:
    """The drawn face (H, W, 3), 0-255, with its colours changed so that they continue those of the skin around.

    The logarithm of the quotient of both is continued from the ring into the area (a membrane, as in Perez, Gangnet,
    Blake 2003, Poisson image editing, section 2). Ring pixels whose quotient is far from the common one show something
    else than skin (hair, glasses, what is behind the face) or the mask's shadow: they are weighed down (Cauchy's weights).
    """
    if not around.ring.any():
        return drawn
    logarithms = to_logarithms(drawn)
    common, brightness, colour = changes(around, logarithms)
    weights = 1 / (1 + (brightness[..., 0] / _BRIGHTNESS) ** 2 + (colour**2).sum(axis=2) / _COLOUR**2)
    change = common + brightness.clip(-_MOST, _MOST) + _LOCAL_COLOUR * colour.clip(-_MOST, _MOST)
    return to_colours(logarithms + continued(change, np.where(around.ring, weights, 0).astype(np.float32)))


def changes(around: Surroundings, logarithms: FloatImage) -> tuple[NDArray[np.float32], FloatImage, FloatImage]:
    """From the drawn face to the photo, in logarithms: the change (3,) that the ring has in common, and by how much each
    pixel's brightness (H, W, 1) and colour (H, W, 3) change more than that.
    """
    change = to_logarithms(around.image) - logarithms
    ring = change[around.ring]
    near = np.abs(ring.mean(axis=1)) < _NEAR
    common = np.median(ring[near], axis=0) if near.mean() >= _LEAST else np.zeros(3, np.float32)
    beyond = change - common
    brightness = beyond.mean(axis=2, keepdims=True)
    return np.asarray(common, np.float32), brightness, beyond - brightness


def no_skin(around: Surroundings, drawn: FloatImage) -> FloatImage:
    """How surely something else than skin, such as hair, is before each pixel (H, W) of the face, 0-1.

    In the ring by its colour and brightness; in the area as in the ring near it, less so farther away.
    """
    _, brightness, colour = changes(around, to_logarithms(drawn))
    odd = (brightness[..., 0] / _ODD_BRIGHTNESS) ** 2 + (colour**2).sum(axis=2) / _ODD_COLOUR**2
    odd = np.where(around.ring, (odd - 1).clip(0, 1), 0).astype(np.float32)
    size = (max(2, odd.shape[1] // _REDUCED), max(2, odd.shape[0] // _REDUCED))
    weights = np.where(around.ring, 1, np.where(around.replaced, _EXPECTED_SKIN, 0)).astype(np.float32)
    weight, total = (cv2.resize(part, size, interpolation=cv2.INTER_AREA) for part in (weights, odd * weights))
    mean = continued((total / np.maximum(weight, 1e-6))[..., None], weight)[..., 0]
    spread = cv2.resize(mean, odd.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.where(around.ring, odd, spread), np.float32)
