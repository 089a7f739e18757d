"""How much of a face is covered by a mask, read from its pixels.

The landmarks of a masked face are guesses: they say where the face is, not where the cloth ends. So the face is cut
out upright at one size, and a small network (models/segmenter, taught on pipeline/placements) says of every pixel
whether a mask covers it. A share is how much of a region's polygon is covered. The network's weights lie beside this
file, and ONNX Runtime runs it (three times as fast as OpenCV does).
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.faces import regions
from pipeline.faces.crops import warp_crop
from pipeline.faces.onnx_session import open_session

SIDE = 64  # px of the aligned crop
CHANNELS = ("mask", "bare")
"""What the network says of each pixel: under the mask; on the lower face and not under the mask."""

# Where an upright face has its chin in the maps (SIDE / 2 px): from under the lower lip down, and as wide as the jaw is
# there. Under a short mask the landmarks lie too high, so the chin is sought down to the lower edge.
CHIN_ROWS, CHIN_COLUMNS = slice(21, 32), slice(8, 24)

# From FFHQ's frame (shares) to the crop (px): the mean face of 200. There the maps have eyes and nose in these places.
FFHQ_TO_CROP = np.array([[73.1, 0.0, -5.0], [0.0, 73.1, -17.8]])
_EYE_ROWS, _NOSE_ROWS, _MIDDLE = slice(5, 9), slice(11, 16), slice(13, 19)

_CHEEK = 0.05  # covered share under which a cheek counts as bare

WEIGHTS = Path(__file__).with_name("mask_coverage.onnx")

# Where a face looking ahead has these landmarks in the crop, px: the mean of 200 FFHQ faces (Procrustes), made
# symmetric. Found far apart from each other, so that a wrong guess of one part moves the whole but little.
_PLACES: dict[int, tuple[float, float]] = {
    33: (17.73, 16.38), 263: (45.27, 16.38), 133: (26.09, 17.08), 362: (36.91, 17.08), 70: (13.41, 11.70),
    300: (49.59, 11.70), 168: (31.5, 15.77), 6: (31.5, 18.33), 1: (31.5, 29.33), 2: (31.5, 31.18), 129: (24.86, 28.05),
    358: (38.14, 28.05), 61: (22.53, 37.02), 291: (40.47, 37.02), 13: (31.5, 37.13), 17: (31.5, 42.75),
    50: (15.76, 26.59), 280: (47.24, 26.59), 234: (9.47, 21.79), 454: (53.53, 21.79), 132: (10.35, 31.47),
    361: (52.65, 31.47), 172: (13.67, 41.20), 397: (49.33, 41.20), 148: (27.40, 52.30), 377: (35.60, 52.30),
    152: (31.5, 52.72),
}  # fmt: skip


@dataclass(frozen=True)
class MaskCoverage:
    """How a mask sits on a face: shares, 0-1."""

    nose: float  # of the nose from under the bridge to the nostrils, covered
    mouth: float  # of the lips, covered
    chin: float  # of the chin's width, with no bare face between the lower lip and the neck
    eyes: float  # of the bridge between the eyes and the brows, covered
    face: float  # of the lower face from the cheekbones to the jaw, covered
    seen: float  # of the whole upright crop, about 2.5 times the face's area, covered: a mask that hangs off counts too
    balance: float  # the less covered cheek over the other; 1 where neither is


def measure_coverage(faces: list[tuple[NDArray[np.uint8], NDArray[np.float32]]]) -> list[MaskCoverage]:
    """Pixels (H, W, 3) RGB and a face's landmarks (478, 2) as shares, of each face -> how its mask sits.

    Each face's numbers are the same to the bit whatever others come along.
    """
    crops, places = [], []
    for pixels, points in faces:
        found = points * np.array(pixels.shape[1::-1], np.float32)  # px
        matrix = landmark_alignment(found)
        crops.append(aligned_crop(pixels, matrix))
        places.append(((found @ matrix[:, :2].T + matrix[:, 2]) / SIDE).astype(np.float32))
    return [coverage_from_maps(maps, at) for maps, at in zip(segment_crops(crops), places, strict=True)]


def eye_coverage_without_landmarks(pixels: NDArray[np.uint8]) -> float:
    """The covered share, 0-1, of where FFHQ's frame has the bridge between the eyes; low unless the nose's is high too.

    For pictures (H, W, 3) in which no face is found: a mask over the eyes hides it from the landmarker.
    """
    height, width = pixels.shape[:2]
    mask = segment_crops([aligned_crop(pixels, FFHQ_TO_CROP @ np.diag([1 / width, 1 / height, 1.0]))])[0, 0]
    return min(float(mask[rows, _MIDDLE].mean()) for rows in (_EYE_ROWS, _NOSE_ROWS))


def segment_crops(crops: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Aligned crops (SIDE, SIDE, 3) -> the network's PLANES of each, (N, 2, SIDE / 2, SIDE / 2) of 0-1."""
    if not crops:
        return np.empty((0, len(CHANNELS), SIDE // 2, SIDE // 2), np.float32)
    pixels = np.ascontiguousarray(np.stack(crops).transpose(0, 3, 1, 2), np.float32) / 127.5 - 1
    logits = _network().run(None, {"pixels": pixels})[0]
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -30, 30))), np.float32)


def coverage_from_maps(maps: NDArray[np.float32], places: NDArray[np.float32]) -> MaskCoverage:
    """PLANES and the landmarks (478, 2) as shares of the crop -> the numbers."""
    mask = cv2.resize(maps[0], (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)

    def covered(polygon: tuple[int, ...]) -> float:
        return float(cv2.mean(mask, regions.polygon_mask(places, polygon, SIDE, SIDE))[0])

    low, high = sorted((covered(regions.LEFT_CHEEK), covered(regions.RIGHT_CHEEK)))
    return MaskCoverage(
        nose=covered(regions.NOSE),
        mouth=covered(regions.MOUTH),
        # Under a short mask the landmarks draw the chin up to its edge: so not their polygon, but what the network sees
        # of bare face below, in each column where it is surest.
        chin=1 - float(maps[1][CHIN_ROWS, CHIN_COLUMNS].max(axis=0).mean()),
        eyes=covered(regions.BETWEEN_EYES),
        face=covered(regions.LOWER_FACE),
        seen=float(maps[0].mean()),
        balance=low / high if high > _CHEEK else 1.0,
    )


def landmark_alignment(points: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """The similarity, (2, 3), that takes the landmarks (478, 2), px, nearest to their places in the crop."""
    found = points[list(_PLACES)].astype(np.float64)
    wanted = np.array(list(_PLACES.values()))
    middle, target = found.mean(axis=0), wanted.mean(axis=0)
    x, y = (found - middle).T
    u, v = (wanted - target).T
    size = max(float((x * x + y * y).sum()), 1e-9)
    cos, sin = float((x * u + y * v).sum()) / size, float((x * v - y * u).sum()) / size
    turn = np.array([[cos, -sin], [sin, cos]])
    return np.column_stack([turn, target - turn @ middle])


def aligned_crop(pixels: NDArray[np.uint8], matrix: NDArray[np.float64], margin: int = 0) -> NDArray[np.uint8]:
    """The crop (SIDE + 2 margin) px wide; beyond the image the edge's colours go on."""
    at = matrix.copy()
    at[:, 2] += margin
    return warp_crop(pixels, at, SIDE + 2 * margin)


@cache
def _network() -> Any:
    """This process's network, on one thread: there is a process for each core."""
    return open_session(WEIGHTS, threads=1)
