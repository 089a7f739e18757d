"""How much of a face is covered by a mask, read from its pixels.

The landmarks of a masked face are guesses: they show where the face is, not where the mask ends. Therefore the face is
cropped upright at one size, and a small network (models/segmenter, trained on pipeline/synthetic/mask_examples)
classifies each pixel. The covered share of a region is the mean over its polygon. The network's weights are beside this
file; ONNX Runtime runs it, three times as fast as OpenCV does.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.faces import regions
from pipeline.faces.alignment import CROP_SIDE, FFHQ_TO_CROP, aligned_crop
from pipeline.faces.onnx_session import open_session

WEIGHTS = Path(__file__).with_name("mask_coverage.onnx")

CHANNELS = ("mask", "bare")
"""The network's two maps: under the mask; on the lower face and not under the mask."""

# Where an upright face has its chin in the maps (CROP_SIDE / 2 px): from the lower lip down, as wide as the jaw there.
# Under a short mask the landmarks are too high, so that the rows go down to the lower edge.
CHIN_ROWS, CHIN_COLUMNS = slice(21, 32), slice(8, 24)

# Where the mask may reach below the mouth, and the weight of that against the bare chin: a short mask leaves few rows
# covered, also where the chin's skin is taken for the mask's fabric.
_BELOW_MOUTH, _DEPTH_WEIGHT = (slice(20, 32), slice(10, 22)), 0.265

# Where a face in FFHQ's frame has the bridge between its eyes, and its nose, in the maps.
_EYE_ROWS, _NOSE_ROWS, _MIDDLE = slice(5, 9), slice(11, 16), slice(13, 19)

_BARE_CHEEK = 0.05  # covered share up to which a cheek counts as bare
_EYE_WEIGHT = 0.5  # of one eye's covered share: lower lids are under many a mask that is worn correctly

# Where the maps have each eye and its brow. A mask over one eye draws the landmarks after it, so that no polygon finds
# it; but no correctly worn mask comes here: this covered share counts as much as a bridge that is wholly covered.
_BROW_ROWS, _BROWS, _WHOLE_BROW = slice(4, 9), (slice(3, 13), slice(19, 29)), 0.185

# Where an upright face has its cheeks, nose and mouth in the maps, and how much more of its lower face, as a share of
# the whole, is bare on one side than on the other where a mask is pushed aside: more than on any correctly masked face.
_CHEEK_ROWS, _HALF, _ONE_SIDED = slice(12, 28), CROP_SIDE // 4, 0.13
_TIP_OF_NOSE, _EARS = 1, (234, 454)  # landmarks; the ears in the order of the image's sides


@dataclass(frozen=True)
class MaskCoverage:
    """How a mask covers a face: shares, 0-1."""

    nose: float  # of the nose from below the bridge to the nostrils, covered
    mouth: float  # of the lips, covered
    chin: float  # of the chin's width, with no bare face from the lower lip to the neck; and how far down the mask is
    eyes: float  # of the bridge between the eyes and the brows, covered; or half of an eye's, or _covered_brow, if more
    face: float  # of the lower face from the cheekbones to the jaw, covered
    total: float  # of the aligned crop, about 2.5 times the face's area, covered: a mask that hangs off counts too
    symmetry: float  # the less covered cheek over the other, 1 where both are bare; or _balance if that is less


def eye_coverage_without_landmarks(pixels: NDArray[np.uint8]) -> float:
    """The covered share, 0-1, of the bridge between the eyes, for an image (H, W, 3) in which no face is detected.

    A mask over the eyes hides a face from the landmarker, so that the places are those of FFHQ's frame. Never above the
    covered share of the nose: a hat or hair is no mask.
    """
    height, width = pixels.shape[:2]
    mask = segment_crops([aligned_crop(pixels, FFHQ_TO_CROP @ np.diag([1 / width, 1 / height, 1.0]))])[0, 0]
    return min(float(mask[rows, _MIDDLE].mean()) for rows in (_EYE_ROWS, _NOSE_ROWS))


def segment_crops(crops: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Aligned crops (CROP_SIDE, CROP_SIDE, 3) -> their maps (N, len(CHANNELS), CROP_SIDE / 2, CROP_SIDE / 2), 0-1."""
    if not crops:
        return np.empty((0, len(CHANNELS), CROP_SIDE // 2, CROP_SIDE // 2), np.float32)
    pixels = np.ascontiguousarray(np.stack(crops).transpose(0, 3, 1, 2), np.float32) / 127.5 - 1
    logits = _network().run(None, {"pixels": pixels})[0]
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -30, 30))), np.float32)


def coverage_from_maps(maps: NDArray[np.float32], points: NDArray[np.float32]) -> MaskCoverage:
    """The mask coverage of one face from its maps and its landmarks (478, 2) as shares of the aligned crop."""
    mask = cv2.resize(maps[0], (CROP_SIDE, CROP_SIDE), interpolation=cv2.INTER_LINEAR)

    def covered(polygon: tuple[int, ...]) -> float:
        return float(cv2.mean(mask, regions.polygon_mask(points, polygon, CROP_SIDE, CROP_SIDE))[0])

    low, high = sorted((covered(regions.LEFT_CHEEK), covered(regions.RIGHT_CHEEK)))
    return MaskCoverage(
        nose=covered(regions.NOSE),
        mouth=covered(regions.MOUTH),
        chin=_covered_chin(maps),
        eyes=max(covered(regions.BETWEEN_EYES), _EYE_WEIGHT * max(map(covered, regions.EYES)), _covered_brow(maps)),
        face=covered(regions.LOWER_FACE),
        total=float(maps[0].mean()),
        symmetry=min(low / high, _balance(maps, points)) if high > _BARE_CHEEK else 1.0,
    )


def _covered_chin(maps: NDArray[np.float32]) -> float:
    """How well the chin is covered, 0-1, from the maps alone: the width without bare face, and the mask's depth.

    Not the chin's polygon: under a short mask the landmarks put the chin at the mask's edge. Instead the bare face that
    the network sees below, in each column its highest value.
    """
    width = 1 - float(maps[1][CHIN_ROWS, CHIN_COLUMNS].max(axis=0).mean())
    return (1 - _DEPTH_WEIGHT) * width + _DEPTH_WEIGHT * float(maps[0][_BELOW_MOUTH].mean())


def _covered_brow(maps: NDArray[np.float32]) -> float:
    """How much a mask covers one eye and its brow, 0-1, scaled as _WHOLE_BROW says; from the maps alone."""
    return min(1.0, max(float(maps[0][_BROW_ROWS, columns].mean()) for columns in _BROWS) / _WHOLE_BROW)


def _balance(maps: NDArray[np.float32], points: NDArray[np.float32]) -> float:
    """1 where the maps' halves are equally bare, 0 where one is bare and the other covered.

    A mask pushed aside draws the landmarks after it, so that the bare cheek's polygon may lie on the mask. Less counts
    where the head shows more of the bare side than of the other: `points` (478, 2) are shares of the aligned crop.
    """
    mask, bare = maps[:, _CHEEK_ROWS]
    sides = np.array([bare[:, :_HALF].sum(), bare[:, _HALF:].sum()], np.float64)
    widths = np.abs(points[list(_EARS), 0] - points[_TIP_OF_NOSE, 0]).clip(0.05)
    turned = float(widths[sides.argmax()] / widths.mean())  # 1 for a head that looks ahead
    difference = float(np.ptp(sides)) / max(1.0, float(mask.sum() + bare.sum())) * min(1.0, float(turned**-1.5))
    return max(0.0, 1 - difference / _ONE_SIDED)


@cache
def _network() -> Any:
    """This process's network, on one thread: measuring runs a process for each core."""
    return open_session(WEIGHTS, threads=1)
