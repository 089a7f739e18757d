"""Writes index.data/similar.js: what the page finds the faces by that look like another one.

The features are those of the map and of the selection (curation/selection.py), as their first principal components in
one byte each: 24 bytes an image, so that the browser compares 200,000 images in a fraction of a second.
"""

import base64
import json
from pathlib import Path
from typing import TypedDict

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.curation.selection import image_features

COMPONENTS = 24


class SimilarFaces(TypedDict):
    """The argument of facemask.similar."""

    components: int  # of each image
    explained: float  # share of the features' variance that the components hold
    codes: str  # base64 of int8, `components` for each image, all in one unit


def write_similar(folder: Path, rows: pd.DataFrame) -> None:
    """Write the components of the manifest's `rows`, which are in the page's order, into `folder`."""
    codes, explained = components(image_features(rows))
    similar: SimilarFaces = {
        "components": codes.shape[1],
        "explained": round(explained, 3),
        "codes": base64.b64encode(codes.tobytes()).decode(),
    }
    (folder / "similar.js").write_text(f"facemask.similar({json.dumps(similar)})\n", encoding="utf-8")


def components(features: NDArray[np.float32]) -> tuple[NDArray[np.int8], float]:
    """The first principal components of features (N, D): (N, COMPONENTS) in one unit, and their share of the variance.

    Distances between images stay as they were, but for the components left out and the rounding.
    """
    centred = features - features.mean(axis=0, dtype=np.float64).astype(np.float32)
    variances, directions = np.linalg.eigh((centred.T @ centred).astype(np.float64))
    count = min(COMPONENTS, len(variances))
    places = centred @ directions[:, ::-1][:, :count].astype(np.float32)
    unit = max(float(np.abs(places).max(initial=0)), 1e-9) / 127
    explained = float(variances[::-1][:count].sum() / max(variances.sum(), 1e-9))
    return np.rint(places / unit).astype(np.int8), explained
