"""What the photo gives to a mask: its light, cast, blur and grain; and their mean over the frames of a clip.

Estimated anew in every frame, they change with the noise, and the mask flickers. In a clip they are averaged over
time; the light is turned and scaled with the face, so that it moves with it.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.faces.regions import FACE_OVAL
from pipeline.masks.fit import SIDES, face_width
from pipeline.masks.light import face_light, white_balance
from pipeline.masks.photo_texture import PhotoTexture, photo_texture
from pipeline.masks.records import FloatImage, Points, UnmaskedFace

_SIDE = 64  # px of a light: it has only low frequencies
_MARGIN = 1.6  # its side, in heights of the face
_FACE_PX = 64  # width of the face at which the light is estimated


@dataclass(frozen=True)
class Conditions:
    """The conditions under which a face is seen."""

    light: FloatImage  # (_SIDE, _SIDE) factors about 1, on a square around the face, upright by its sides
    tint: FloatImage  # (3,) RGB factors about 1
    texture: PhotoTexture  # with the blur as a share of the face's width


def measure_conditions(face: UnmaskedFace) -> Conditions:
    """Estimate the conditions of a face."""
    height, width = face.image.shape[:2]
    points = face.landmarks.astype(np.float64) * (width, height) - 0.5
    zoom = min(1.0, _FACE_PX / face_width(points))
    size = (max(2, round(zoom * width)), max(2, round(zoom * height)))
    small = np.asarray(cv2.resize(face.image, size, interpolation=cv2.INTER_AREA), np.uint8)
    places = face.landmarks.astype(np.float64) * size - 0.5
    light, matrix = face_light(small, places), _to_light(places)
    in_frame = cv2.warpAffine(light, matrix, (_SIDE, _SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    seen = photo_texture(face.image, points)
    texture = PhotoTexture(seen.blur / face_width(points), seen.noise)
    return Conditions(np.asarray(in_frame, np.float32), white_balance(face.image, points), texture)


def mean_conditions(before: Conditions, now: Conditions, share: float) -> Conditions:
    """The exponential mean in time: `share` of it is of the present frame."""

    def mean(old: float, new: float) -> float:
        return old + share * (new - old)

    texture = PhotoTexture(mean(before.texture.blur, now.texture.blur), mean(before.texture.noise, now.texture.noise))
    light = before.light + np.float32(share) * (now.light - before.light)
    return Conditions(light, before.tint + np.float32(share) * (now.tint - before.tint), texture)


def light_on(conditions: Conditions, face: Points, height: int, width: int) -> FloatImage:
    """The light (height, width) on a picture in which the face has the landmarks (478, 2), px of pixel centres."""
    matrix = _to_light(face)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    light = cv2.warpAffine(conditions.light, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(light, np.float32)


def texture_on(conditions: Conditions, face: Points) -> PhotoTexture:
    """The blur in px, and the grain, for a face with these landmarks (478, 2), px."""
    return PhotoTexture(conditions.texture.blur * face_width(face), conditions.texture.noise)


def _to_light(points: Points) -> NDArray[np.float64]:
    """OpenCV's matrix (2, 3) from a picture's pixel centres to a light's; landmarks (478, 2) in px of centres."""
    across = points[SIDES[1]] - points[SIDES[0]]
    x, y = across / max(float(np.hypot(*across)), 1e-6)
    turn = np.array([[x, y], [-y, x]])
    oval = points[list(FACE_OVAL)] @ turn.T
    turn *= _SIDE / (_MARGIN * max(float(np.ptp(oval[:, 1])), 1.0))
    return np.column_stack([turn, _SIDE / 2 - 0.5 - turn @ points[list(FACE_OVAL)].mean(axis=0)])
