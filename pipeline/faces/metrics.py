"""The metrics of one face: pose, size, brightness, sharpness, colours, and how much of each region is covered."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.faces.alignment import align
from pipeline.faces.appearance import Appearance, appearance
from pipeline.faces.landmarker import Face
from pipeline.faces.mask_coverage import MaskCoverage, coverage_from_maps, segment_crops

_FACE_HEIGHT = 160  # px: sharpness is measured at one face size, or the face of a large photo would seem blurred

# Sharpness is measured at one brightness too, or dark faces would seem blurred: over 200 faces with the same blur the
# Laplacian's deviation grows with the mean luma to the power of .20 to .26. Without a lower bound noise would count.
_LUMA, _LUMA_POWER, _MIN_LUMA = 128.0, 0.25, 16.0


@dataclass(frozen=True)
class DetectedFace:
    """A face in its image."""

    pixels: NDArray[np.uint8]  # (H, W, 3) RGB, perhaps reduced
    face: Face
    image_height: int  # px of the whole image


@dataclass(frozen=True)
class FaceMetrics:
    """Columns of the measured tables; meanings and units are in manifest.MANIFEST_SCHEMA."""

    yaw: float
    pitch: float
    roll: float
    cover_nose: float
    cover_mouth: float
    cover_chin: float
    cover_eyes: float
    cover_face: float
    cover_total: float
    cover_symmetry: float
    sharpness: float
    brightness: float
    face_px: float
    glasses: float
    skin_tone: float | None
    mask_lightness: float | None
    mask_a: float | None
    mask_b: float | None


def measure_faces(faces: list[DetectedFace]) -> list[FaceMetrics]:
    """The metrics of each face; the same to the bit in any batch."""
    aligned = [align(detected.pixels, detected.face.points) for detected in faces]
    all_maps = segment_crops([face.crop for face in aligned])
    return [
        _metrics(detected, coverage_from_maps(maps, face.points), appearance(detected.pixels, face, maps[0]))
        for detected, maps, face in zip(faces, all_maps, aligned, strict=True)
    ]


def _metrics(detected: DetectedFace, coverage: MaskCoverage, colours: Appearance) -> FaceMetrics:
    pixels, face = detected.pixels, detected.face
    height, width = pixels.shape[:2]
    left, top = np.floor(face.points.min(axis=0) * (width, height)).astype(int).clip(0)
    right, bottom = np.ceil(face.points.max(axis=0) * (width, height)).astype(int)
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[top : max(bottom, top + 2), left : max(right, left + 2)]
    yaw, pitch, roll = pose(face.transform)
    return FaceMetrics(
        yaw,
        pitch,
        roll,
        **{f"cover_{region}": share for region, share in vars(coverage).items()},
        sharpness=_sharpness(grey),
        brightness=float(grey.mean()) if grey.size else 0.0,
        face_px=float(np.ptp(face.points[:, 1])) * detected.image_height,
        **vars(colours),
    )


def pose(transform: NDArray[np.float32]) -> tuple[float, float, float]:
    """Yaw, pitch and roll in degrees, from the rotation Rz(roll) Ry(yaw) Rx(pitch) in Face.transform (4, 4).

    The landmarker's camera space has x to the image's right, y up and z towards the viewer.
    """
    rotation = transform[:3, :3].astype(np.float64)
    rotation /= np.linalg.norm(rotation, axis=0)  # the matrix scales too
    yaw = np.degrees(np.arcsin(np.clip(-rotation[2, 0], -1, 1)))
    pitch = np.degrees(np.arctan2(rotation[2, 1], rotation[2, 2]))
    roll = np.degrees(np.arctan2(rotation[1, 0], rotation[0, 0]))
    return float(yaw), float(pitch), float(-roll)


def _sharpness(grey: NDArray[Any]) -> float:
    """Standard deviation of the Laplacian, grey levels, of a face (H, W) scaled to _FACE_HEIGHT and _LUMA."""
    if min(grey.shape) < 3:
        return 0.0
    scale = _FACE_HEIGHT / grey.shape[0]
    size = (max(3, round(grey.shape[1] * scale)), _FACE_HEIGHT)
    scaled = cv2.resize(grey, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    _, deviation = cv2.meanStdDev(cv2.Laplacian(scaled, cv2.CV_16S))
    return float(deviation[0, 0] * (_LUMA / max(float(scaled.mean()), _MIN_LUMA)) ** _LUMA_POWER)
