"""The light of a photo on a drawn lower face, estimated from the skin around the mask."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.masks.records import FloatImage
from pipeline.unmasking.continuation import continued, distance_from
from pipeline.unmasking.lower_face_model import to_colours, to_logarithms

# Of logarithms of colours: 0.4 is a factor of 1.5.
_NEAR = 0.5  # skin whose brightness differs by more from what is expected does not count for the common change
_LEAST = 0.05  # share of the skin that must be left for it; else no change is common: what is seen is glasses or hair
_BRIGHTNESS, _COLOUR = 0.4, 0.12  # distances from the common change at which a pixel's weight is half
_MOST = 0.5  # by how much more or less than the common change it changes at most
_LOCAL_COLOUR = 0.3  # share of the differences in colour that are continued; of those in brightness all are
_AT_EDGE = 0.7  # the most at the mask's edge
_FADING = 1 / 25  # how far from the edge, as a share of the picture's side, that falls to a third


@dataclass(frozen=True)
class Surroundings:
    """The part of a photo around a mask."""

    image: FloatImage  # (H, W, 3) RGB 0-255; where `replaced`, the colours around, continued
    replaced: NDArray[np.bool_]  # (H, W): the mask, and its edge
    oval: NDArray[np.bool_]  # (H, W): the face
    ring: NDArray[np.bool_]  # (H, W): what is near the mask and in the oval, but not near the eyes
    skin: NDArray[np.bool_]  # (H, W): what of it may be skin by its colour
    side: int  # px of the whole picture


def in_light_of(around: Surroundings, drawn: FloatImage) -> FloatImage:
    """The drawn face (H, W, 3), 0-255, with its colours changed so that they continue those of the skin around.

    The logarithm of the quotient of both is continued from the skin into the area (a membrane, as in Perez, Gangnet,
    Blake 2003, Poisson image editing, section 2). Pixels whose quotient is far from the common one show the mask's
    shadow or no skin at all (hair, glasses, what is behind the face): they are weighed down (Cauchy's weights). So that
    no seam is seen beside them, what is left at the mask's edge is continued too, but fades.
    """
    if not around.skin.any():
        return drawn
    logarithms = to_logarithms(drawn)
    change = to_logarithms(around.image) - logarithms
    common = _common_change(change[around.skin])
    brightness = (change - common).mean(axis=2, keepdims=True)
    colour = change - common - brightness
    weights = 1 / (1 + (brightness[..., 0] / _BRIGHTNESS) ** 2 + (colour**2).sum(axis=2) / _COLOUR**2)
    likely = common + brightness.clip(-_MOST, _MOST) + _LOCAL_COLOUR * colour.clip(-_MOST, _MOST)
    light = continued(likely, np.where(around.skin, weights, 0).astype(np.float32))
    at_edge = common + brightness.clip(-_AT_EDGE, _AT_EDGE) + colour.clip(-_AT_EDGE, _AT_EDGE)
    fading = np.exp(-distance_from(~around.replaced) / (_FADING * around.side))[..., None]
    return to_colours(logarithms + light + fading * continued(at_edge - light, np.asarray(around.ring, np.float32)))


def _common_change(changes: NDArray[np.float32]) -> NDArray[np.float32]:
    """What the ring's changes (N, 3) have in common, (3,): their median, but for pixels too bright or dark for skin."""
    near = np.abs(changes.mean(axis=1)) < _NEAR
    return np.asarray(np.median(changes[near], axis=0) if near.mean() >= _LEAST else np.zeros(3), np.float32)
