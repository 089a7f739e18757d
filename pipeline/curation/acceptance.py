"""The share of a generator's outputs that curation would accept as correctly masked faces."""

from dataclasses import fields

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from pipeline.curation import rules
from pipeline.curation.measure_params import MeasureParams
from pipeline.curation.reasons import MASK_REASONS
from pipeline.curation.rules import CurateParams
from pipeline.faces.detection import find_faces
from pipeline.faces.metrics import DetectedFace, FaceMetrics, measure_faces

_RULES = (rules.no_face, *(reason.rule for reason in MASK_REASONS if reason.rule))
_COLUMNS = ("domain", "width", "faces", *(field.name for field in fields(FaceMetrics)))


def acceptance_rate(images: NDArray[np.uint8], limits: CurateParams, settings: MeasureParams) -> float:
    """The share, 0-1, of the images (N, H, W, 3) RGB with a face that wears its mask correctly.

    Only the rules about the mask apply: a generated image is not rejected for its size.
    """
    if not len(images):
        return 0.0
    measured = pd.DataFrame([_measure(image, settings) for image in images], columns=_COLUMNS)
    rejected = np.logical_or.reduce([rules.as_bools(rule(measured, limits)) for rule in _RULES])
    return float(1 - rejected.mean())


def _measure(image: NDArray[np.uint8], settings: MeasureParams) -> dict[str, object]:
    """The columns of one image (H, W, 3) that the rules read; no FaceMetrics without a face."""
    pixels = enlarged(image, settings.decode_px)
    faces = find_faces(pixels, settings.max_faces)
    row: dict[str, object] = {"domain": "masked", "width": pixels.shape[1], "faces": len(faces)}
    for metrics in measure_faces([DetectedFace(pixels, face, *pixels.shape[1::-1]) for face in faces[:1]]):
        row |= vars(metrics)
    return row


def enlarged(image: NDArray[np.uint8], px: int) -> NDArray[np.uint8]:
    """The image with a shorter side of `px` or more: generated images are smaller than the photos that are measured."""
    scale = px / min(image.shape[:2])
    if scale <= 1:
        return image
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC), np.uint8)
