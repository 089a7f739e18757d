"""The landmark network of MediaPipe's face landmarker, run on a given part of an image instead of on detected faces.

MediaPipe drops a face whose presence the network doubts, and it doubts most faces under dark masks and in tight crops,
although it places their landmarks rightly (docs/curation.md). Here its landmarks are taken as they are: the caller
knows by other means that there is a face. OpenCV runs the network; its landmarks differ from MediaPipe's by 2 % of the
distance between the eyes, and poses by half a degree (medians).
"""

import io
import zipfile
from dataclasses import dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.faces.landmarker import Face, model_bytes

_INPUT = 256  # px, side of the network's input
_MARGIN = 1.5  # side of the square that the network is given, relative to the landmarks' box: MediaPipe's
_EYES = (33, 263)  # outer corners: the image's left, right
_FIELD_OF_VIEW = np.radians(63)  # vertical, of MediaPipe's assumed camera

# Landmarks of MediaPipe's canonical face (geometry_pipeline_metadata_landmarks.binarypb in face_landmarker.task) that
# it fits the pose to: the weight, and the place in cm; x to the image's right, y up, z towards the viewer.
_CANONICAL: dict[int, tuple[float, float, float, float]] = {
    4: (0.071, 0.00, -0.46, 7.59), 6: (0.032, 0.00, 2.47, 5.79), 10: (0.008, 0.00, 8.26, 4.48),
    33: (0.059, -4.45, 2.66, 3.17), 54: (0.008, -6.28, 6.62, 1.43), 67: (0.009, -3.52, 8.01, 3.73),
    117: (0.010, -5.26, 0.95, 2.97), 119: (0.015, -3.30, 0.86, 3.87), 121: (0.019, -1.82, 1.47, 4.22),
    127: (0.005, -7.74, 2.36, -2.01), 129: (0.121, -1.79, -0.98, 4.85), 132: (0.006, -7.27, -2.89, -2.25),
    133: (0.053, -1.86, 2.59, 3.76), 136: (0.067, -5.09, -7.18, 0.71), 143: (0.015, -6.41, 2.24, 1.56),
    147: (0.014, -6.23, -1.94, 1.66), 198: (0.025, -1.25, 0.23, 5.68), 205: (0.047, -3.83, -1.54, 4.14),
    263: (0.059, 4.45, 2.66, 3.17), 284: (0.008, 6.28, 6.62, 1.43), 297: (0.009, 3.52, 8.01, 3.73),
    346: (0.010, 5.26, 0.95, 2.97), 348: (0.015, 3.30, 0.86, 3.87), 350: (0.019, 1.82, 1.47, 4.22),
    356: (0.005, 7.74, 2.36, -2.01), 358: (0.121, 1.79, -0.98, 4.85), 361: (0.006, 7.27, -2.89, -2.25),
    362: (0.053, 1.86, 2.59, 3.76), 365: (0.067, 5.09, -7.18, 0.71), 372: (0.015, 6.41, 2.24, 1.56),
    376: (0.014, 6.23, -1.94, 1.66), 420: (0.025, 1.25, 0.23, 5.68), 425: (0.047, 3.83, -1.54, 4.14),
}  # fmt: skip
_BASIS = list(_CANONICAL)
_WEIGHTS = np.array(list(_CANONICAL.values()))[:, :1]
_PLACES = np.array(list(_CANONICAL.values()))[:, 1:]


@dataclass(frozen=True)
class Square:
    """A turned square of an image."""

    centre: NDArray[np.float64]  # (2,) px
    side: float  # px
    angle: float  # radians by which its upper side is turned, clockwise as seen


def square_around(points: NDArray[np.float64]) -> Square:
    """The square that the network is given for a face with landmarks (478, 2 or 3), px: upright by the eyes."""
    across = points[_EYES[1], :2] - points[_EYES[0], :2]
    angle = float(np.arctan2(across[1], across[0]))
    turned = points[:, :2] @ _rotation(-angle).T
    low, high = turned.min(axis=0), turned.max(axis=0)
    return Square(_rotation(angle) @ ((low + high) / 2), _MARGIN * float((high - low).max()), angle)


def place_landmarks(pixels: NDArray[np.uint8], square: Square) -> NDArray[np.float64]:
    """Landmarks (478, 3), px, of the face in a square of an image (H, W, 3) RGB; z grows away from the viewer.

    Outside the image its edge is repeated.
    """
    scale = _INPUT / square.side
    matrix = np.column_stack([scale * _rotation(-square.angle), [0.0, 0.0]])
    matrix[:, 2] = _INPUT / 2 - 0.5 - matrix[:, :2] @ (square.centre - 0.5)
    crop = cv2.warpAffine(pixels, matrix, (_INPUT, _INPUT), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    network = _network()
    network.setInput(cv2.dnn.blobFromImage(crop, 1 / 255))
    places = np.asarray(network.forward("Identity"), np.float64).reshape(-1, 3)
    inverse = cv2.invertAffineTransform(matrix)
    return np.column_stack([places[:, :2] @ inverse[:, :2].T + inverse[:, 2] + 0.5, places[:, 2] / scale])


def face_of(points: NDArray[np.float64], width: int, height: int) -> Face:
    """The face with landmarks (478, 3), px, in an image of a size."""
    return Face((points[:, :2] / (width, height)).astype(np.float32), _transform(points, width, height))


def _transform(points: NDArray[np.float64], width: int, height: int) -> NDArray[np.float32]:
    """Face.transform (4, 4) as MediaPipe's geometry pipeline estimates it from landmarks (478, 3), px.

    The canonical face is fitted to the landmarks, which gives their distance from the camera; with it they are brought
    from the image into space, twice because the distance follows from a fit without perspective at first.
    """
    high = 2 * np.tan(_FIELD_OF_VIEW / 2)  # of the image, at distance 1
    x, y, depth = (points[_BASIS] / (width, height, width) * (high * width / height, high, high * width / height)).T
    seen = np.column_stack([x - high * width / height / 2, high / 2 - y, depth - depth.mean()])
    scale = _fit(_mirror(seen))[0]
    scale *= _fit(_mirror(_into_space(seen, scale)))[0]
    return _fit(_mirror(_into_space(seen, scale)))[1].astype(np.float32)


def _into_space(seen: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
    distance = (seen[:, 2:] + 1) / scale
    return np.hstack([seen[:, :2] * distance, distance])


def _mirror(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Places with z away from the viewer -> towards the viewer."""
    return places * (1, 1, -1)


def _fit(target: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
    """The similarity that brings _PLACES nearest to `target` (N, 3): its scale, and as a matrix (4, 4).

    Weighted least squares without reflection (Umeyama 1991).
    """
    weights = _WEIGHTS / _WEIGHTS.sum()
    source_mean, target_mean = (weights * _PLACES).sum(axis=0), (weights * target).sum(axis=0)
    source, centred = _PLACES - source_mean, target - target_mean
    left, values, right = np.linalg.svd((weights * centred).T @ source)
    signs = np.array([1, 1, np.sign(np.linalg.det(left @ right))])
    rotation = left @ np.diag(signs) @ right
    scale = float((values * signs).sum() / (weights * source**2).sum())
    matrix = np.eye(4)
    matrix[:3, :3] = scale * rotation
    matrix[:3, 3] = target_mean - scale * rotation @ source_mean
    return scale, matrix


def _rotation(angle: float) -> NDArray[np.float64]:
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, -sin], [sin, cos]])


@cache
def _network() -> Any:
    """This process's network. Only OpenCV's classic engine gives the landmarks, which are no last layer."""
    with zipfile.ZipFile(io.BytesIO(model_bytes())) as task:
        network = task.read("face_landmarks_detector.tflite")
    return cv2.dnn.readNetFromTFLite(np.frombuffer(network, np.uint8), engine=cv2.dnn.ENGINE_CLASSIC)
