"""Whether two face patches show one photo: registration, then normalized cross-correlation of their detail.

Hashes find candidates; pixels decide. Patches of one photo differ by the landmarker's errors, so that they are brought
onto each other first, by the affine motion that maximizes the enhanced correlation coefficient (Evangelidis and
Psarakis 2008). What is compared is detail (a high-pass): brightness, contrast and colour may differ. Below the eyes two
people in one kind of mask look alike, so that the part above a mask must agree by itself too.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.curation.face_patches import ABOVE_MASK_ROWS, OUTSIDE, PATCH_PX

_HALF_PX = PATCH_PX // 2  # registration runs at half size: four times as fast, and exact enough
_SIGMA = 2.0  # px, of the patch and of its half: detail is what a Gaussian blur of this width removes
_MIN_COARSE = 0.45  # of the detail at half size, before registration: below it there are no copies (docs/curation.md)
_CERTAIN = 0.9  # of the patch's detail before registration: from it on registration is not needed
_DOUBTFUL = 0.6  # after registration: from it to _CERTAIN the other direction is looked at too
_MIN_SHARE = 0.25  # of a patch that both images must show
_MIN_ABOVE = 0.5  # of its part above a mask that both must show for that part to count
_CHUNK = 4096  # patches prepared at a time
_STOP = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 40, 1e-4)
_FLIP = np.array([[-1, 0, PATCH_PX - 1], [0, 1, 0]], np.float64)

Floats = NDArray[np.float32]
Motion = NDArray[np.float64]
"""(2, 3): from the pixels of one patch to those of another, which are counted from their centres."""


@dataclass(frozen=True)
class PreparedPatches:
    """N patches, ready to be compared; 1.2 kB each beside the patch itself."""

    patches: NDArray[np.uint8]  # (N, PATCH_PX, PATCH_PX)
    frames: Floats  # (N, 2, 3) from shares of the photo to shares of the patch
    coarse: NDArray[np.int8]  # (N, _HALF_PX, _HALF_PX) detail at half size, grey levels; 0 outside the photo
    coarse_inside: NDArray[np.bool_]  # the same shape


@dataclass(frozen=True)
class Pairs:
    """M pairs of patches, as indices."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    one_photo: NDArray[np.bool_]  # the whole photos look alike: where the landmarks differ, these say how they align


@dataclass(frozen=True)
class _Details:
    """The detail of some of the patches."""

    fine: Floats  # (n, PATCH_PX, PATCH_PX); 0 outside the photo
    inside: Floats  # the same shape: 1 inside the photo, 0 outside
    place: NDArray[np.int64]  # of each of the N patches in the arrays; -1: not there


def prepare(patches: NDArray[np.uint8], frames: Floats) -> PreparedPatches:
    """Prepare patches (N, PATCH_PX, PATCH_PX) with their frames (N, 2, 3)."""
    shape = (len(patches), _HALF_PX, _HALF_PX)
    coarse, coarse_inside = np.empty(shape, np.int8), np.empty(shape, np.bool_)
    for start in range(0, len(patches), _CHUNK):
        some = slice(start, start + _CHUNK)
        whole = _halved((patches[some] != OUTSIDE).astype(np.float32)) > 0.99
        detail = high_pass(_halved(patches[some].astype(np.float32)), whole.astype(np.float32), _SIGMA)
        coarse[some], coarse_inside[some] = detail.round().clip(-127, 127), whole
    return PreparedPatches(patches, frames, coarse, coarse_inside)


def similarities(prepared: PreparedPatches, pairs: Pairs) -> Floats:
    """(M,) similarity of the pairs' patches, mirrored or not, -1 to 1: 1 for equal detail.

    Pairs that cannot be of one photo are not registered: their value is _MIN_COARSE at most.
    """
    if not len(pairs.first):
        return np.empty(0, np.float32)
    coarse = np.stack([_coarse(prepared, pairs, flip) for flip in (False, True)])
    flipped = coarse[1] > coarse[0]
    alike = coarse.max(axis=0) >= _MIN_COARSE
    result = np.asarray(np.minimum(coarse.max(axis=0), _MIN_COARSE), np.float32)
    details = _details(prepared, pairs, alike | pairs.one_photo)
    for flip in (False, True):
        some = np.flatnonzero(alike & (flipped == flip))
        if len(some):
            result[some] = _unregistered(details, pairs.first[some], pairs.second[some], flip)
    for pair in np.flatnonzero((alike | pairs.one_photo) & (result < _CERTAIN)):
        first, second = int(pairs.first[pair]), int(pairs.second[pair])
        starts = [_FLIP if flipped[pair] else np.eye(2, 3)] if alike[pair] else []
        if pairs.one_photo[pair]:
            starts += _photo_motions(prepared, first, second)
        for start in starts:
            result[pair] = max(result[pair], _registered_both_ways(prepared, details, (first, second), start))
            if result[pair] >= _CERTAIN:
                break
    return result


def _details(prepared: PreparedPatches, pairs: Pairs, which: NDArray[np.bool_]) -> _Details:
    """The detail of the patches of some of the pairs."""
    rows = np.unique(np.concatenate([pairs.first[which], pairs.second[which]]))
    place = np.full(len(prepared.patches), -1)
    place[rows] = np.arange(len(rows))
    inside = (prepared.patches[rows] != OUTSIDE).astype(np.float32)
    return _Details(high_pass(prepared.patches[rows].astype(np.float32), inside, _SIGMA), inside, place)


def high_pass(grey: Floats, inside: Floats, sigma: float) -> Floats:
    """Detail of grey pictures (N, S, S): the difference to a Gaussian blur over the pixels inside the photo."""
    full = _blurred(np.ones((1, *grey.shape[1:]), np.float32), sigma)
    detail = np.asarray(grey - _blurred(grey * inside, sigma) / full, np.float32)
    partly = np.flatnonzero(~inside.all(axis=(1, 2)))  # few: FFHQ's photos fill their frame
    weights = np.maximum(_blurred(inside[partly], sigma), 1e-3)
    detail[partly] = grey[partly] - _blurred(grey[partly] * inside[partly], sigma) / weights
    return np.multiply(detail, inside, dtype=np.float32)


def _blurred(pictures: Floats, sigma: float) -> Floats:
    """Pictures (N, S, S) times a Gaussian blur, whose weights do not add up to 1; as two products of large matrices."""
    side = pictures.shape[-1]
    matrix = _gaussian_matrix(side, sigma)
    for _ in range(2):  # rows, then columns
        product = pictures.reshape(-1, side) @ matrix
        pictures = product.reshape(-1, side, side).transpose(0, 2, 1)
    return pictures


def _gaussian_matrix(size: int, sigma: float) -> Floats:
    """(size, size), symmetric: multiplied from both sides, it blurs a picture."""
    positions = np.arange(size)
    return np.array(np.exp(-((positions[:, None] - positions[None]) ** 2) / (2 * sigma**2)), np.float32)


def _halved(pictures: Floats) -> Floats:
    """(N, S, S) -> (N, S / 2, S / 2): means of 2 x 2 pixels."""
    rows = pictures[:, ::2] + pictures[:, 1::2]
    return np.asarray((rows[:, :, ::2] + rows[:, :, 1::2]) / 4, np.float32)


def _coarse(prepared: PreparedPatches, pairs: Pairs, flip: bool) -> Floats:
    """The correlation of the pairs' detail at half size, the second patches mirrored where `flip`."""
    step = -1 if flip else 1
    inside = prepared.coarse_inside[pairs.first] & prepared.coarse_inside[pairs.second][..., ::step]
    first, second = (prepared.coarse[side].astype(np.float32) for side in (pairs.first, pairs.second))
    return _correlations(first, second[..., ::step], inside.astype(np.float32))


def _unregistered(details: _Details, first: NDArray[np.int64], second: NDArray[np.int64], flip: bool) -> Floats:
    """The similarity of patches as they are, the second ones mirrored where `flip`."""
    step = -1 if flip else 1
    one, other = details.place[first], details.place[second]
    inside = details.inside[one] * details.inside[other][..., ::step]
    return _with_part_above_mask(details.fine[one], details.fine[other][..., ::step], inside)


def _photo_motions(prepared: PreparedPatches, first: int, second: int) -> Iterator[Motion]:
    """The motions from the first patch to the second if both photos, or one of them mirrored, have the same edges."""
    into, out_of = (np.vstack([prepared.frames[which], [0, 0, 1]]).astype(np.float64) for which in (second, first))
    to_centres = np.array([[PATCH_PX, 0, -0.5], [0, PATCH_PX, -0.5], [0, 0, 1]])
    for mirror in (np.eye(3), np.array([[-1.0, 0, 1], [0, 1, 0], [0, 0, 1]])):
        motion = to_centres @ into @ mirror @ np.linalg.inv(out_of) @ np.linalg.inv(to_centres)
        yield motion[:2]


def _registered_both_ways(prepared: PreparedPatches, details: _Details, pair: tuple[int, int], start: Motion) -> float:
    """The similarity of two patches after registration; in doubt the mean of both directions, which differ a little."""
    value = _registered(prepared, details, pair, start)
    if not _DOUBTFUL <= value < _CERTAIN:
        return value
    back = np.linalg.inv(np.vstack([start, [0, 0, 1]]))[:2]
    return (value + _registered(prepared, details, pair[::-1], back)) / 2


def _registered(prepared: PreparedPatches, details: _Details, pair: tuple[int, int], start: Motion) -> float:
    """The similarity of two patches after registration, which begins at `start`; -1 where it does not converge."""
    first, second = pair
    one, other = details.place[[first, second]]
    linear = start[:, :2]
    # At half size pixels' centres are at (x - 0.5) / 2.
    half = np.column_stack([linear, (start[:, 2] - 0.5 + linear @ (0.5, 0.5)) / 2]).astype(np.float32)
    coarse, coarse_other = (prepared.coarse[which].astype(np.float32) for which in pair)
    valid = prepared.coarse_inside[second].astype(np.uint8)
    overlap = (_moved(valid.astype(np.float32), half) > 0.99) & prepared.coarse_inside[first]
    alike = _correlations(coarse[None], _moved(coarse_other, half)[None], overlap[None].astype(np.float32))[0]
    if alike < _MIN_COARSE:
        return -1.0
    try:
        # 1: without further smoothing.
        _, found = cv2.findTransformECC(coarse, coarse_other, half, cv2.MOTION_AFFINE, _STOP, valid, 1)
    except cv2.error:  # it does not converge, or leaves no overlap: the patches have nothing in common
        return -1.0
    scale = found[:, :2]
    full = np.column_stack([scale, 2 * found[:, 2] + 0.5 - scale @ (0.5, 0.5)]).astype(np.float32)
    moved = _moved(prepared.patches[second].astype(np.float32), full)
    seen = (_moved(details.inside[other], full) > 0.99).astype(np.float32)
    detail = high_pass(moved[None], seen[None], _SIGMA)
    return float(_with_part_above_mask(details.fine[one][None], detail, (seen * details.inside[one])[None])[0])


def _moved(picture: Floats, motion: NDArray[np.float32]) -> Floats:
    """The picture as the other one of its pair shows it; 0 where it does not reach."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(picture, motion, picture.shape[::-1], flags=flags), np.float32)


def _with_part_above_mask(first: Floats, second: Floats, inside: Floats) -> Floats:
    """The lower of two correlations: of the whole patch, and of its part above a mask where enough of it is seen."""
    whole = _correlations(first, second, inside)
    rows = slice(0, ABOVE_MASK_ROWS)
    above = _correlations(first[:, rows], second[:, rows], inside[:, rows])
    return np.where(inside[:, rows].mean(axis=(1, 2)) >= _MIN_ABOVE, np.minimum(whole, above), whole)


def _correlations(first: Floats, second: Floats, inside: Floats) -> Floats:
    """Normalized cross-correlation of pictures (N, H, W) over the pixels `inside`; -1 below _MIN_SHARE of them."""
    weights = inside.reshape(len(inside), -1)
    count = weights.sum(axis=1)
    a, b = (part.reshape(len(part), -1) * weights for part in (first, second))
    mean_a, mean_b = (part.sum(axis=1) / np.maximum(count, 1) for part in (a, b))
    covariance = np.einsum("ij,ij->i", a, b) - count * mean_a * mean_b
    variance_a, variance_b = (
        np.maximum(np.einsum("ij,ij->i", part, part) - count * mean**2, 1e-6)
        for part, mean in ((a, mean_a), (b, mean_b))
    )
    correlation = covariance / np.sqrt(variance_a * variance_b)
    return np.where(count >= _MIN_SHARE * weights.shape[1], correlation, -1).astype(np.float32)
