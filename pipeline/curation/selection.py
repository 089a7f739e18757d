"""Selection (`curate.select`): the best and most varied N of the images that pass all rules.

Features (pose, skin tone, mask colour, appearance) say how far apart two faces are; quality (sharpness, size, light, a
clear verdict about the mask) says which of two like faces is better. The N are built up in nets: at a radius, images
are taken from the best to the worst, and one is passed over if a taken one is nearer than the radius. The first radius
is so large that a few very different faces are taken, and each next one is 0.7 times as large, until there are N. So
every image has a chosen one that is like it (within 1/0.7 times the last radius, divided by its quality) and no two
chosen ones are alike, as with greedy farthest-point traversal (Gonzalez 1985), which guarantees the same but replaces
most of its choice where data grows: its every step depends on the step before. Here units, radii and the order by
quality are fixed numbers that do not depend on the other images, so that new images replace only those like them.

Features are whole numbers: their squared distances are exact in float32, so that neither the order of the rows nor the
machine's arithmetic makes a difference.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.faces.face_grid import COLOUR_SIDE, GRID_BYTES, LIGHTNESS_BYTES, LIGHTNESS_SIDE, decode_grids

_FIRST_RADIUS, _SHRINK = 2000.0, 0.7  # of the nets; the first is larger than any distance
_BLOCK = 1024  # images compared at a time, which bounds the memory for distances
_MAX_FEATURE = 500  # so that squares of all features add up to less than 2 ** 24

# Units of distance for each unit of the measurement. Two random faces of FFHQ differ by about 150 in the lightness of
# their appearance; the others are weighted so that each can be as different.
_WEIGHTS = {
    "yaw": 8.0, "pitch": 8.0, "roll": 3.0, "skin_tone": 3.0, "mask_lightness": 4.0, "mask_a": 5.0, "mask_b": 5.0,
}  # fmt: skip
_NOT_MEASURED = {"skin_tone": 30.0, "mask_lightness": 60.0}  # what a missing value counts as; 0 for the others
_COLOUR_WEIGHT = 1.5  # of a* and b* in the face's grid, whose cells are four times as large
_EDGE_WEIGHT = 0.5  # of the grid's outer cells: hair, clothes and background
_NO_FACE = bytes([128]) * GRID_BYTES  # the grid of an image that was kept in review, and has no face

# Quality: a factor for each range, which rises from 0.5 at its first value (or below) to 1 at its second (or above). It
# is 1 for most images, so that it passes over doubtful ones only. Sharpness rises with the skin's texture: up to 20 it
# chose wrinkles and beards, and hardly a child (docs/curation.md).
_QUALITY_RANGES = {"sharpness": (4.0, 10.0), "face_px": (60.0, 140.0)}  # 140 px: a frame of 200 px is filled
_DARK, _BRIGHT = (30.0, 60.0), (215.0, 185.0)  # mean luma of the face; dark skin in good light is above 60
_WORN_RANGES = {  # masked domain: the least clear of them counts
    "cover_nose": (0.3, 0.6), "cover_mouth": (0.6, 0.85), "cover_chin": (0.16, 0.5), "cover_symmetry": (0.04, 0.3),
    "cover_eyes": (0.2, 0.1),
}  # fmt: skip
_BARE_RANGES = {"cover_nose": (0.3, 0.1), "cover_mouth": (0.3, 0.1), "cover_face": (0.3, 0.1)}  # unmasked domain


@dataclass(frozen=True)
class Candidates:
    """Images to choose from. Their order decides between images of one quality: it must not depend on the others."""

    features: NDArray[np.float32]  # (N, D), whole numbers up to _MAX_FEATURE
    quality: NDArray[np.float64]  # (N,), above 0, 1 at most
    first: NDArray[np.bool_]  # (N,): chosen in any case


def select_in_splits(images: pd.DataFrame, count: int) -> NDArray[np.bool_]:
    """Choose `count` accepted images of one domain: (N,) booleans.

    Each split gets its share of `count`, so that the splits' shares stay as curate.split made them, and is chosen by
    itself, so that no test image depends on a training image. `images` has the manifest's columns.
    """
    splits = images["split"].to_numpy(object)
    chosen = np.zeros(len(images), np.bool_)
    for split, quota in _quotas(images["split"].value_counts().to_dict(), count).items():
        chosen[splits == split] = select_images(images[splits == split], quota)
    return chosen


def _quotas(sizes: dict[str, int], count: int) -> dict[str, int]:
    """Split -> its share of `count`, rounded so that they add up to `count` (largest remainders)."""
    total = sum(sizes.values())
    if count >= total:
        return sizes
    quotas = {split: count * size // total for split, size in sizes.items()}
    by_remainder = sorted(sizes, key=lambda split: (-(count * sizes[split] % total), split))
    for split in by_remainder[: count - sum(quotas.values())]:
        quotas[split] += 1
    return quotas


def select_images(images: pd.DataFrame, count: int) -> NDArray[np.bool_]:
    """Choose `count` of the images, which have the manifest's columns; (N,) booleans.

    Images with the review `keep` are chosen first, even if they are more than `count`. The result does not depend on
    the order of the rows: between equals a digest of the image_id decides. (By the image_id itself, the first source
    and the lowest numbers would be preferred.)
    """
    digests = [hashlib.sha256(image_id.encode()).digest() for image_id in images["image_id"]]
    order = np.array(sorted(range(len(digests)), key=digests.__getitem__), np.int64)
    rows = images.iloc[order]
    first = (rows["review"] == "keep").to_numpy(bool)
    chosen = np.empty(len(rows), np.bool_)
    chosen[order] = choose(Candidates(image_features(rows), image_quality(rows), first), count)
    return chosen


def choose(images: Candidates, count: int) -> NDArray[np.bool_]:
    """Choose `count` images, and all `first` ones; (N,) booleans.

    Time grows with images x count; memory with the images and, for a block of them, with count.
    """
    chosen = images.first.copy()
    if count >= len(chosen):
        return np.ones(len(chosen), np.bool_)
    best_first = np.argsort(-images.quality, kind="stable")
    nearest = np.full(len(chosen), np.inf, np.float32)  # squared distance to the nearest chosen image
    _update_nearest(nearest, images.features, np.flatnonzero(chosen))
    limits = (_FIRST_RADIUS / images.quality) ** 2  # of `nearest`, from which an image is chosen
    while (missing := count - int(chosen.sum())) > 0:
        rest = best_first[~chosen[best_first]]
        if not nearest[rest].any():  # the same features as chosen images
            chosen[rest[:missing]] = True
            break
        candidates = rest[nearest[rest] >= limits[rest]]
        for start in range(0, len(candidates), _BLOCK):
            block = candidates[start : start + _BLOCK]
            block = block[nearest[block] >= limits[block]]
            new = block[_apart(images.features[block], limits[block])][: count - int(chosen.sum())]
            chosen[new] = True
            _update_nearest(nearest, images.features, new)
        limits *= _SHRINK**2
    return chosen


def _apart(features: NDArray[np.float32], limits: NDArray[np.float64]) -> list[int]:
    """Those rows of `features`, in their order, whose squared distances to the ones taken before reach `limits`."""
    distances = squared_distances(features, features)
    free, taken = np.ones(len(features), np.bool_), []
    for row in range(len(features)):
        if free[row]:
            taken.append(row)
            free &= distances[row] >= limits
    return taken


def _update_nearest(nearest: NDArray[np.float32], features: NDArray[np.float32], new: NDArray[np.int64]) -> None:
    """Lower `nearest` to the squared distances from the images `new`."""
    if len(new):
        for start in range(0, len(nearest), _BLOCK):
            part = slice(start, start + _BLOCK)
            distances = squared_distances(features[part], features[new])
            np.minimum(nearest[part], distances.min(axis=1), out=nearest[part])


def squared_distances(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, D) and (m, D) whole numbers -> (n, m), exact."""
    ones, squares = np.ones((len(one), 1), np.float32), np.einsum("ij,ij->i", other, other)[:, None]
    distances = np.hstack([one, ones]) @ np.hstack([-2 * other, squares]).T
    distances += np.einsum("ij,ij->i", one, one)[:, None]
    return np.asarray(distances, np.float32)


def image_features(images: pd.DataFrame) -> NDArray[np.float32]:
    """(N, D) whole numbers, whose Euclidean distances say how different two images are."""
    columns = [_numbers(images, name, _NOT_MEASURED.get(name, 0.0)) * weight for name, weight in _WEIGHTS.items()]
    grids = decode_grids([_NO_FACE if pd.isna(grid) else grid for grid in images["face_grid"].to_numpy(object)])
    grids[:, :LIGHTNESS_BYTES] -= 50
    features = np.column_stack([*columns, grids * _grid_weights()])
    return np.asarray(np.rint(features.clip(-_MAX_FEATURE, _MAX_FEATURE)), np.float32)


def image_quality(images: pd.DataFrame) -> NDArray[np.float64]:
    """(N,), 0-1: the product of factors from 0.5 to 1. What was not measured does not count."""
    quality = np.ones(len(images))
    for name, span in _QUALITY_RANGES.items():
        quality *= _factor(images, name, span)
    quality *= np.minimum(_factor(images, "brightness", _DARK), _factor(images, "brightness", _BRIGHT))
    is_masked = (images["domain"] == "masked").to_numpy(bool)
    worn, bare = (
        np.min([_factor(images, name, span) for name, span in ranges.items()], axis=0)
        for ranges in (_WORN_RANGES, _BARE_RANGES)
    )
    return np.asarray(quality * np.where(is_masked, worn, bare), np.float64)


def _factor(images: pd.DataFrame, name: str, span: tuple[float, float]) -> NDArray[np.float64]:
    start, end = span
    return 0.5 + 0.5 * ((_numbers(images, name, end) - start) / (end - start)).clip(0, 1)


def _numbers(images: pd.DataFrame, name: str, missing: float) -> NDArray[np.float64]:
    """A column as (N,) float64, with `missing` where nothing was measured."""
    values = images[name].astype("Float64").to_numpy(np.float64, na_value=np.nan)
    return np.where(np.isnan(values), missing, values)


def _grid_weights() -> NDArray[np.float32]:
    """(GRID_BYTES,): the weight of each number of a face's grid."""
    lightness = np.full((LIGHTNESS_SIDE, LIGHTNESS_SIDE), _EDGE_WEIGHT, np.float32)
    lightness[1:-1, 1:-1] = 1
    return np.concatenate([lightness.ravel(), np.full(2 * COLOUR_SIDE**2, _COLOUR_WEIGHT, np.float32)])
