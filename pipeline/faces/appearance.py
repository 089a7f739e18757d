"""The skin's tone and the mask's colour, from the aligned crop and the mask map of pipeline/faces/mask_coverage.py.

Both are what the photo shows, not what the person is: light and white balance are unknown. docs/curation.md says how
far skin_tone agrees with what people see.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.faces import regions
from pipeline.faces.alignment import CROP_SIDE

# Skin that masks, beards, fringes and hats leave bare: below both eyes, and between the eyes and the brows.
_SKIN = (regions.LEFT_UPPER_CHEEK, regions.RIGHT_UPPER_CHEEK, regions.BETWEEN_EYES)
_MAX_COVERED = 0.3  # of the mask map: skin is below it
_MASK = 0.5  # of the mask map: a mask is above it
_MIN_SKIN = 40  # px of the crop, of about 250
_MIN_MASK = 20  # px of the mask map, of 1,024: 2 % of the crop
_SHADED = 0.4  # share of the skin, the darkest, that is left out: shadows, lashes and the frames of glasses
_MIN_B = 1.0  # CIELAB: below it (blue light) the angle would turn over


@dataclass(frozen=True)
class Appearance:
    """Colours of one face; None where too few pixels show them."""

    skin_tone: float | None  # individual typology angle, degrees, -90 to 90; light skin is high
    mask_lightness: float | None  # CIELAB L*, 0-100
    mask_a: float | None  # CIELAB a*
    mask_b: float | None  # CIELAB b*


def appearance(crop: NDArray[np.uint8], mask: NDArray[np.float32], points: NDArray[np.float32]) -> Appearance:
    """The appearance of an aligned crop (CROP_SIDE, CROP_SIDE, 3) RGB.

    `mask` is the crop's mask map (CROP_SIDE / 2, CROP_SIDE / 2), 0-1; `points` are the landmarks (478, 2) as shares of
    the crop.
    """
    lab = cv2.cvtColor(crop.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    colours = cv2.resize(lab, mask.shape[::-1], interpolation=cv2.INTER_AREA)[mask > _MASK]
    of_mask = colours.mean(axis=0, dtype=np.float64).tolist() if len(colours) >= _MIN_MASK else [None] * 3
    return Appearance(_skin_tone(lab, mask, points), *of_mask)


def _skin_tone(lab: NDArray[Any], mask: NDArray[np.float32], points: NDArray[np.float32]) -> float | None:
    """The individual typology angle, degrees, atan((L* - 50) / b*), of the medians over the bare, lit skin.

    Chardon, Cretois, Hourseau: Skin colour typology and suntanning pathways, 1991. `lab` is the crop in CIELAB.
    """
    skin = np.zeros(lab.shape[:2], np.uint8)
    for polygon in _SKIN:
        skin |= regions.polygon_mask(points, polygon, CROP_SIDE, CROP_SIDE)
    covered = cv2.resize(mask, (CROP_SIDE, CROP_SIDE), interpolation=cv2.INTER_LINEAR)
    pixels = lab[(skin > 0) & (covered < _MAX_COVERED)]
    if len(pixels) < _MIN_SKIN:
        return None
    lightness = np.sort(pixels[:, 0])[int(_SHADED * len(pixels))]
    lit = pixels[pixels[:, 0] >= lightness]
    middle, yellow = float(np.median(lit[:, 0])), float(np.median(lit[:, 2]))
    return float(np.degrees(np.arctan2(middle - 50, max(yellow, _MIN_B))))
