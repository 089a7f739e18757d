"""The map of faces: two coordinates for each image that passes all rules, so that like faces lie near each other.

Each domain has its own map, made from the features by which images are selected (curation/selection.py). t-SNE (van der
Maaten and Hinton 2008) places at most _ANCHORS images, which are chosen so that every image is like one of them; each
other image is placed between the anchors that it is like. So the time grows with the images only linearly: t-SNE of all
would take hours at 70,000.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.curation.reasons import NOT_SELECTED
from pipeline.curation.selection import Candidates, choose, image_features, squared_distances

_ANCHORS = 1000
_PERPLEXITY = 20.0  # how many neighbours a point has, roughly
_STEPS, _EXAGGERATED_STEPS, _EXAGGERATION = 400, 100, 12.0
_NEIGHBOURS = 5  # anchors that place another image
_SHARPNESS = 4  # power of the squared distance that weighs them: the nearest one counts most
_SCATTER = 0.3  # of the anchors' spacing: images between the same anchors do not hide each other
_BLOCK = 1024
_MARGIN = 0.01  # of the map, left empty on each side


def face_map(rows: pd.DataFrame) -> NDArray[np.float32]:
    """(N, 2) coordinates, 0-1, of the manifest's rows; NaN for an image that is neither accepted nor `not_selected`."""
    places = np.full((len(rows), 2), np.nan, np.float32)
    passes = rows["accepted"].to_numpy(bool) | np.array([NOT_SELECTED in reasons for reasons in rows["reasons"]], bool)
    domains = rows["domain"].to_numpy(object)
    for domain in sorted(set(domains[passes])):
        here = np.flatnonzero(passes & (domains == domain))
        here = here[np.argsort(rows["image_id"].to_numpy(object)[here], kind="stable")]
        places[here] = embed(image_features(rows.iloc[here]))
    return places


def embed(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Features (N, D), whole numbers -> (N, 2) coordinates, 0-1."""
    if len(features) < 3:
        return np.linspace((0.4, 0.5), (0.6, 0.5), len(features), dtype=np.float32)
    is_anchor = choose(Candidates(features, np.ones(len(features)), np.zeros(len(features), np.bool_)), _ANCHORS)
    places = np.empty((len(features), 2))
    places[is_anchor] = _tsne(features[is_anchor])
    places[~is_anchor] = _between(features[~is_anchor], features[is_anchor], places[is_anchor])
    low, high = places.min(axis=0), places.max(axis=0)
    return np.asarray(_MARGIN + (1 - 2 * _MARGIN) * (places - low) / np.maximum(high - low, 1e-9), np.float32)


def _between(
    features: NDArray[np.float32], anchors: NDArray[np.float32], anchor_places: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The weighted mean of the places of each image's nearest anchors, slightly scattered: (N, 2)."""
    places = np.empty((len(features), 2))
    count = min(_NEIGHBOURS, len(anchors))
    for start in range(0, len(features), _BLOCK):
        distances = np.maximum(squared_distances(features[start : start + _BLOCK], anchors), 1.0).astype(np.float64)
        nearest = np.argpartition(distances, count - 1, axis=1)[:, :count]
        near = np.take_along_axis(distances, nearest, axis=1)
        weights = (near.min(axis=1, keepdims=True) / near) ** _SHARPNESS
        weights /= weights.sum(axis=1, keepdims=True)
        places[start : start + _BLOCK] = np.einsum("ij,ijk->ik", weights, anchor_places[nearest])
    spacing = np.ptp(anchor_places, axis=0) / np.sqrt(len(anchors))
    scatter = np.random.default_rng(0).normal(0, 1, places.shape) * _SCATTER * spacing
    return np.asarray(places + scatter, np.float64)


def _tsne(features: NDArray[np.float32]) -> NDArray[np.float64]:
    """t-SNE of (N, D) points from their first two principal components on: (N, 2). Time and memory grow with N^2."""
    joint = _affinities(features)
    places = _principal_components(features)
    speed, gains = np.zeros_like(places), np.ones_like(places)
    rate = max(len(places) / _EXAGGERATION / 4, 50.0)  # Belkina et al. 2019
    for step in range(_STEPS):
        is_early = step < _EXAGGERATED_STEPS
        squares = np.einsum("ij,ij->i", places, places)
        kernel = 1 / (1 + squares[:, None] + squares - 2 * places @ places.T)
        np.fill_diagonal(kernel, 0)
        forces = ((_EXAGGERATION if is_early else 1.0) * joint - kernel / max(kernel.sum(), 1e-12)) * kernel
        gradient = 4 * (forces.sum(axis=1)[:, None] * places - forces @ places)
        gains = np.where(np.sign(gradient) != np.sign(speed), gains + 0.2, gains * 0.8).clip(0.01)
        speed = (0.5 if is_early else 0.8) * speed - rate * gains * gradient
        places = places + speed
    return places


def _affinities(features: NDArray[np.float32]) -> NDArray[np.float64]:
    """The joint probabilities p_ij (N, N), with the perplexity _PERPLEXITY at every point (section 2)."""
    distances = np.maximum(squared_distances(features, features), 0).astype(np.float64)
    np.fill_diagonal(distances, np.inf)
    distances -= distances.min(axis=1, keepdims=True)
    wanted = np.log(min(_PERPLEXITY, max(1.0, (len(features) - 1) / 3)))
    low, high = np.full(len(features), 1e-12), np.full(len(features), 1e3)  # of the precision at each point
    for _ in range(60):
        precision = np.sqrt(low * high)
        shares = np.exp(-distances * precision[:, None])
        shares /= np.maximum(shares.sum(axis=1, keepdims=True), 1e-12)
        entropy = -(shares * np.log(shares + 1e-12)).sum(axis=1)
        low, high = np.where(entropy > wanted, precision, low), np.where(entropy > wanted, high, precision)
    return np.asarray((shares + shares.T) / (2 * len(features)), np.float64)


def _principal_components(features: NDArray[np.float32]) -> NDArray[np.float64]:
    """The first two principal components (N, 2), with a standard deviation of 0.0001 in the first."""
    centred = features.astype(np.float64) - features.mean(axis=0)
    _, directions = np.linalg.eigh(centred.T @ centred)
    directions = directions[:, :-3:-1]
    signs = np.sign(directions[np.abs(directions).argmax(axis=0), [0, 1]])  # else a library chooses them
    places = centred @ (directions * signs)
    return np.asarray(places / max(float(places[:, 0].std()), 1e-9) * 1e-4, np.float64)
