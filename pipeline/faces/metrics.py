"""One face's numbers: pose, size, light, sharpness, and how much of each region is covered."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.faces.landmarker import Face
from pipeline.faces.mask_coverage import MaskCoverage, measure_coverage

_FACE_HEIGHT = 160  # px: sharpness is read at one face size, so that a large photo does not look blurred
_SMALL_FACE = 0.2  # share of the largest face's area


@dataclass(frozen=True)
class DetectedFace:
    """A face in its image."""

    pixels: NDArray[np.uint8]  # (H, W, 3) RGB
    face: Face
    whole_height: int  # px of the image that `pixels` shows, perhaps reduced


@dataclass(frozen=True)
class FaceMetrics:
    """Units as in manifest.MANIFEST_SCHEMA."""

    yaw: float
    pitch: float
    roll: float
    cover_nose: float
    cover_mouth: float
    cover_chin: float
    cover_eyes: float
    cover_face: float
    cover_seen: float
    cover_balance: float
    sharpness: float
    brightness: float
    face_px: float


def measure_faces(faces: list[DetectedFace]) -> list[FaceMetrics]:
    """Measure faces, each by itself."""
    covers = measure_coverage([(seen.pixels, seen.face.points) for seen in faces])
    return [_numbers(seen, cover) for seen, cover in zip(faces, covers, strict=True)]


def _numbers(seen: DetectedFace, cover: MaskCoverage) -> FaceMetrics:
    pixels, face = seen.pixels, seen.face
    height, width = pixels.shape[:2]
    left, top = np.floor(face.points.min(axis=0) * (width, height)).astype(int).clip(0)
    right, bottom = np.ceil(face.points.max(axis=0) * (width, height)).astype(int)
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[top : max(bottom, top + 2), left : max(right, left + 2)]
    yaw, pitch, roll = pose(face.transform)
    return FaceMetrics(
        yaw,
        pitch,
        roll,
        cover_nose=cover.nose,
        cover_mouth=cover.mouth,
        cover_chin=cover.chin,
        cover_eyes=cover.eyes,
        cover_face=cover.face,
        cover_seen=cover.seen,
        cover_balance=cover.balance,
        sharpness=_sharpness(grey),
        brightness=float(grey.mean()) if grey.size else 0.0,
        face_px=float(np.ptp(face.points[:, 1])) * seen.whole_height,
    )


def pose(transform: NDArray[np.float32]) -> tuple[float, float, float]:
    """Yaw, pitch and roll in degrees: the matrix's rotation read as Rz(roll) Ry(yaw) Rx(pitch).

    The landmarker's camera space has x to the image's right, y up and z to the viewer.
    """
    rotation = transform[:3, :3].astype(np.float64)
    rotation /= np.linalg.norm(rotation, axis=0)  # the matrix scales too
    yaw = np.degrees(np.arcsin(np.clip(-rotation[2, 0], -1, 1)))
    pitch = np.degrees(np.arctan2(rotation[2, 1], rotation[2, 2]))
    roll = np.degrees(np.arctan2(rotation[1, 0], rotation[0, 0]))
    return float(yaw), float(pitch), float(-roll)


def area(face: Face) -> float:
    """Area of the face's bounding box as a share of the image."""
    return float(np.prod(np.ptp(face.points, axis=0)))


def is_second_face(face: Face, largest: Face) -> bool:
    """Whether a further detection counts as a second face.

    Not if it has under a fifth of the largest's area (someone in the background), nor if its centre lies inside the
    largest's box (the landmarker sees small faces in the glasses and wrinkles of a large one).
    """
    centre = face.points.mean(axis=0)
    inside = (largest.points.min(axis=0) < centre) & (centre < largest.points.max(axis=0))
    return area(face) >= _SMALL_FACE * area(largest) and not inside.all()


def _sharpness(grey: NDArray[Any]) -> float:
    if min(grey.shape) < 3:
        return 0.0
    scale = _FACE_HEIGHT / grey.shape[0]
    size = (max(3, round(grey.shape[1] * scale)), _FACE_HEIGHT)
    scaled = cv2.resize(grey, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    _, deviation = cv2.meanStdDev(cv2.Laplacian(scaled, cv2.CV_16S))
    return float(deviation[0, 0])
