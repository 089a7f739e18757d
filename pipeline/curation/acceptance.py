"""The gate: would curation take these pictures for correctly masked faces? Asked of a model's fakes."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from pipeline import params
from pipeline.curation import rules
from pipeline.faces import metrics as faces
from pipeline.faces.landmarker import open_landmarker
from pipeline.stages.measure import LOW_CONFIDENCE, MeasureParams, second_try

_RULES = (
    rules.no_face,
    rules.no_mask,
    rules.nose_uncovered,
    rules.mouth_uncovered,
    rules.chin_uncovered,
    rules.eyes_covered,
    rules.mask_misplaced,
)


def acceptance_rate(images: NDArray[np.uint8]) -> float:
    """The share, 0-1, of pictures (N, H, W, 3) RGB in which a face is found that wears its mask correctly.

    Only the rules about the mask count, with the limits of params.yaml: a small picture is not blamed for its size.
    """
    limits = params.load("curate", rules.CurateParams)
    settings = params.load("measure", MeasureParams)
    rows = []
    with open_landmarker(settings.max_faces) as detect, open_landmarker(1, LOW_CONFIDENCE) as look_again:
        for image in images:
            pixels = _enlarged(image, settings.decode_px)
            found = sorted(detect(pixels), key=faces.area, reverse=True) or second_try(pixels, look_again)
            seen = [faces.DetectedFace(pixels, face, pixels.shape[0]) for face in found[:1]]
            numbers = {name: value for one in faces.measure_faces(seen) for name, value in vars(one).items()}
            rows.append({"domain": "masked", "width": pixels.shape[1], "faces": len(found), **numbers})
    if not rows:
        return 0.0
    measured = pd.DataFrame(rows)
    for column in faces.FaceMetrics.__dataclass_fields__:
        if column not in measured:
            measured[column] = np.nan
    rejected = np.logical_or.reduce([rules.holds(rule(measured, limits)) for rule in _RULES])
    return float(1 - rejected.mean())


def _enlarged(image: NDArray[np.uint8], px: int) -> NDArray[np.uint8]:
    """Measuring never enlarges, but fakes come smaller than any photo."""
    scale = px / min(image.shape[:2])
    if scale <= 1:
        return image
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC), np.uint8)
