"""The metrics of one face: pose, size, framing, detail, colours, and how much of each region is covered."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.faces.alignment import align, frame_corners, frame_side, training_frame
from pipeline.faces.appearance import Appearance, appearance
from pipeline.faces.face_grid import face_grid
from pipeline.faces.landmarker import Face
from pipeline.faces.mask_coverage import MaskCoverage, coverage_from_maps, segment_crops

_NOISE_KERNEL = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
_NOISE_REGION = 16  # px
_SMOOTHEST = 0.2  # share of the regions of which the roughest one gives the noise
_FACE_HEIGHT = 160  # px: sharpness is measured at one face size, or the face of a large photo would seem blurred

# Sharpness is measured at one brightness too, or dark faces would seem blurred: over 200 faces with the same blur the
# Laplacian's deviation grows with the mean luma to the power of .20 to .26. Without a lower bound noise would count.
_LUMA, _LUMA_POWER, _MIN_LUMA = 128.0, 0.25, 16.0


@dataclass(frozen=True)
class DetectedFace:
    """A face in its image."""

    pixels: NDArray[np.uint8]  # (H, W, 3) RGB, perhaps reduced
    face: Face
    image_width: int  # px of the whole image
    image_height: int


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
    noise: float
    brightness: float
    face_px: float
    frame_px: float
    frame_inside: float
    face_inside: float
    glasses: float
    skin_tone: float | None
    mask_lightness: float | None
    mask_a: float | None
    mask_b: float | None
    face_grid: bytes


def measure_faces(faces: list[DetectedFace]) -> list[FaceMetrics]:
    """The metrics of each face; the same to the bit in any batch."""
    aligned = [align(detected.pixels, detected.face.points) for detected in faces]
    all_maps = segment_crops([face.crop for face in aligned])
    metrics = []
    for detected, maps, face in zip(faces, all_maps, aligned, strict=True):
        colours = appearance(detected.pixels, face, maps[0])
        metrics.append(_metrics(detected, coverage_from_maps(maps, face.points), colours, face_grid(face.crop)))
    return metrics


def _metrics(detected: DetectedFace, coverage: MaskCoverage, colours: Appearance, grid: bytes) -> FaceMetrics:
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
        **_detail(grey),
        brightness=float(grey.mean()) if grey.size else 0.0,
        face_px=float(np.ptp(face.points[:, 1])) * detected.image_height,
        **_framing(face.points, detected.image_width, detected.image_height),
        **vars(colours),
        face_grid=grid,
    )


def _framing(shares: NDArray[np.float32], width: int, height: int) -> dict[str, float]:
    """frame_px, frame_inside and face_inside of landmarks (478, 2), shares of an image of that size, px."""
    points = shares * np.array([width, height], np.float32)
    frame = training_frame(points, width, height)
    image = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    insides = {}
    for name, outline in (("frame_inside", frame_corners(frame)), ("face_inside", cv2.convexHull(points))):
        outline = outline.astype(np.float32)
        area, _ = cv2.intersectConvexConvex(outline, image)
        insides[name] = round(min(1.0, area / max(cv2.contourArea(outline), 1e-9)), 5)  # areas are exact to a millionth
    return {"frame_px": round(frame_side(frame), 3), **insides}


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


def _detail(grey: NDArray[Any]) -> dict[str, float]:
    """Sharpness and noise, grey levels, of a face (H, W) scaled to _FACE_HEIGHT.

    Sharpness is the standard deviation of the Laplacian at the brightness _LUMA. Noise is that of the second
    differences both ways (Immerkaer 1996) in the smoothest regions, so that edges do not count.
    """
    if min(grey.shape) < 3:
        return {"sharpness": 0.0, "noise": 0.0}
    scale = _FACE_HEIGHT / grey.shape[0]
    size = (max(3, round(grey.shape[1] * scale)), _FACE_HEIGHT)
    scaled = cv2.resize(grey, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    _, deviation = cv2.meanStdDev(cv2.Laplacian(scaled, cv2.CV_16S))
    brightness = (_LUMA / max(float(scaled.mean()), _MIN_LUMA)) ** _LUMA_POWER
    differences = np.abs(cv2.filter2D(scaled, cv2.CV_32F, _NOISE_KERNEL))
    local = cv2.boxFilter(differences, -1, (_NOISE_REGION, _NOISE_REGION))[:: _NOISE_REGION // 2, :: _NOISE_REGION // 2]
    return {
        "sharpness": float(deviation[0, 0] * brightness),
        "noise": float(np.quantile(local, _SMOOTHEST)) * np.sqrt(np.pi / 2) / 6,
    }
