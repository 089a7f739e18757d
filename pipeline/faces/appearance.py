"""The skin's tone, the mask's colour and a trace of glasses, from the aligned crop and its mask map.

The mask map is that of pipeline/faces/mask_coverage.py. Colours are those of the photo, not of the person: light and
white balance are unknown. docs/curation.md says how far skin_tone agrees with what people see.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.faces import regions
from pipeline.faces.alignment import CROP_SIDE, AlignedFace, warp_crop

# Skin that masks and beards leave bare, and glasses, fringes and hats not all of it.
_SKIN = (regions.LEFT_UPPER_CHEEK, regions.RIGHT_UPPER_CHEEK, regions.BETWEEN_EYES, regions.FOREHEAD_ABOVE_BROWS)
_MAX_COVERED = 0.3  # of the mask map: skin is below it
_MASK = 0.5  # of the mask map: a mask is above it
_MIN_SKIN = 40  # px of the crop, of about 350
_MIN_MASK = 20  # px of the mask map, of 1,024: 2 % of the crop
_SHADED = 0.4  # share of the skin, the darkest, that is left out: shadows, hair, lashes and glasses
_BRIDGE = 168  # landmark: the bridge of the nose between the eyes, where glasses rest
_BRIDGE_ZOOM, _BRIDGE_SIDE = 2.5, 28  # a square of 11 px of the crop around it, enlarged: frames are thin
_BRIDGE_AT = (14, 10)  # px: where it is in that square, x and y
_BRIDGE_COLUMNS = slice(7, 22)  # of the square, between the inner corners of the eyes
_MIDDLE = slice(14, 18)  # columns of the mask map at the bridge
_FRAME_COVERED = 0.1  # of the mask map: above it an edge may be the mask's
_MIN_B = 1.0  # CIELAB: below it (blue light) the angle would turn over


@dataclass(frozen=True)
class Appearance:
    """What one face shows; None where too few pixels show it."""

    glasses: float  # the strongest line across the bridge of the nose: contrast per px, 0-1
    skin_tone: float | None  # individual typology angle, degrees, -90 to 90; light skin is high
    mask_lightness: float | None  # CIELAB L*, 0-100
    mask_a: float | None  # CIELAB a*
    mask_b: float | None  # CIELAB b*


def appearance(pixels: NDArray[np.uint8], face: AlignedFace, mask: NDArray[np.float32]) -> Appearance:
    """The appearance of a face in an image (H, W, 3) RGB; `mask` is its map (CROP_SIDE / 2, CROP_SIDE / 2), 0-1."""
    lab = cv2.cvtColor(face.crop.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    colours = cv2.resize(lab, mask.shape[::-1], interpolation=cv2.INTER_AREA)[mask > _MASK]
    of_mask = colours.mean(axis=0, dtype=np.float64).tolist() if len(colours) >= _MIN_MASK else [None] * 3
    return Appearance(_line_across_bridge(pixels, face, mask), _skin_tone(lab, mask, face.points), *of_mask)


def _line_across_bridge(pixels: NDArray[np.uint8], face: AlignedFace, mask: NDArray[np.float32]) -> float:
    """The strongest horizontal edge between the eyes, not of a mask: the highest median of a row's gradients.

    In shares of the mean brightness per px of the enlarged square.
    """
    x, y = face.points[_BRIDGE] * CROP_SIDE
    matrix = _BRIDGE_ZOOM * face.matrix
    matrix[:, 2] += np.array(_BRIDGE_AT) - _BRIDGE_ZOOM * np.array((x, y))
    grey = cv2.cvtColor(warp_crop(pixels, matrix, _BRIDGE_SIDE), cv2.COLOR_RGB2GRAY)[:, _BRIDGE_COLUMNS]
    edges = np.abs(cv2.Sobel(grey, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 8))
    medians = np.sort(edges, axis=1)[:, edges.shape[1] // 2]
    covered = np.flatnonzero(mask[:, _MIDDLE].max(axis=1) >= _FRAME_COVERED)  # rows of the map
    end = _BRIDGE_SIDE - 1
    if covered.size:
        edge = (covered[0] - 1) * CROP_SIDE / len(mask)  # px of the crop: the row above the mask is not sharp either
        end = int(np.clip(_BRIDGE_AT[1] + _BRIDGE_ZOOM * (edge - y), 2, end))
    return float(medians[1:end].max() / (grey.mean() + 5))


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
    lit = pixels[np.argsort(pixels[:, 0], kind="stable")][int(_SHADED * len(pixels)) :]
    lightness, yellow = float(lit[len(lit) // 2, 0]), float(np.sort(lit[:, 2])[len(lit) // 2])
    return float(np.degrees(np.arctan2(lightness - 50, max(yellow, _MIN_B))))
