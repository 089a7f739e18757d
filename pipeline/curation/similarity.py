"""Whether two face patches show one photo: registration, then normalized cross-correlation of their detail.

Hashes find candidates; pixels decide. Patches of one photo differ by the landmarker's errors, so that they are brought
onto each other first, by the affine motion that maximizes the enhanced correlation coefficient (Evangelidis and
Psarakis 2008). What is compared is detail (a high-pass): brightness, contrast and colour may differ. Below the eyes two
people in one kind of mask look alike, so that the part above a mask must agree by itself too.

Everything but the registration is computed for many pairs at once, and leaves few of them to be registered.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.curation.face_patches import ABOVE_MASK_ROWS, OUTSIDE, PATCH_PX
from pipeline.curation.patch_detail import Floats, correlations, high_pass
from pipeline.curation.threads import in_threads

_HALF_PX = PATCH_PX // 2  # registration runs at half size: four times as fast, and exact enough
_SIGMA = 2.0  # px, of the patch and of its half: detail is what a Gaussian blur of this width removes
_MIN_COARSE = 0.45  # of the detail at half size, before registration: below it there are no copies (docs/curation.md)
_MARGIN = 0.05  # of _MIN_COARSE, between positions of many pairs rounded as OpenCV does and those of a single pair
_CERTAIN = 0.9  # of the patch's detail before registration: from it on registration is not needed
_DOUBTFUL = 0.6  # after registration: from it to _CERTAIN the other direction is looked at too
_MIN_ABOVE = 0.5  # of a patch's part above a mask that both images must show for that part to count
_BEYOND = -128  # in the coarse detail: outside the photo
_PATCHES, _PAIRS = 256, 128  # computed at a time: a few MB, so that they stay in the processor's cache
_STOP = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 40, 1e-4)
_FLIP = np.array([[-1, 0, PATCH_PX - 1], [0, 1, 0]], np.float64)

Motion = NDArray[np.float64]
"""(2, 3): from the pixels of one patch to those of another, which are counted from their centres."""


@dataclass(frozen=True)
class PreparedPatches:
    """N patches, ready to be compared; .6 kB each beside the patch itself."""

    patches: NDArray[np.uint8]  # (N, PATCH_PX, PATCH_PX)
    frames: Floats  # (N, 2, 3) from shares of the photo to shares of the patch
    coarse: NDArray[np.int8]  # (N, _HALF_PX, _HALF_PX) detail at half size, grey levels; _BEYOND outside the photo


@dataclass(frozen=True)
class Pairs:
    """M pairs of patches, as indices."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    one_photo: NDArray[np.bool_]  # the whole photos look alike: where the landmarks differ, these say how they align

    def __getitem__(self, which: slice | NDArray[np.int64] | NDArray[np.bool_]) -> "Pairs":
        return Pairs(self.first[which], self.second[which], self.one_photo[which])

    def __len__(self) -> int:
        return len(self.first)


def prepare(patches: NDArray[np.uint8], frames: Floats) -> PreparedPatches:
    """Prepare patches (N, PATCH_PX, PATCH_PX) with their frames (N, 2, 3)."""
    coarse = np.empty((len(patches), _HALF_PX, _HALF_PX), np.int8)

    def fill(start: int) -> None:
        some = patches[start : start + _PATCHES]
        inside = some != OUTSIDE
        rows = inside[:, ::2] & inside[:, 1::2]
        whole = rows[:, :, ::2] & rows[:, :, 1::2]
        detail = high_pass(_halved(some), whole.astype(np.float32), _SIGMA)
        coarse[start : start + _PATCHES] = np.where(whole, detail.round().clip(-127, 127), _BEYOND)

    in_threads(fill, range(0, len(patches), _PATCHES))
    return PreparedPatches(patches, frames, coarse)


def similarities(prepared: PreparedPatches, pairs: Pairs) -> Floats:
    """(M,) similarity of the pairs' patches, mirrored or not, -1 to 1: 1 for equal detail.

    Pairs that cannot be of one photo are not registered: their value is _MIN_COARSE at most.
    """
    pieces = [pairs[start : start + _PAIRS] for start in range(0, len(pairs), _PAIRS)]
    parts = in_threads(lambda piece: _similarities(prepared, piece), pieces)
    return np.concatenate([np.empty(0, np.float32), *parts])


def _similarities(prepared: PreparedPatches, pairs: Pairs) -> Floats:
    """The same of a few pairs."""
    coarse = _coarse(prepared, pairs)
    flipped = coarse[1] > coarse[0]
    alike = coarse.max(axis=0) >= _MIN_COARSE
    result = np.asarray(np.minimum(coarse.max(axis=0), _MIN_COARSE), np.float32)
    for flip in (False, True):
        some = np.flatnonzero(alike & (flipped == flip))
        if len(some):
            result[some] = _unregistered(prepared, pairs[some], flip)
    open_pairs = np.flatnonzero((alike | pairs.one_photo) & (result < _CERTAIN))
    by_photo = open_pairs[pairs.one_photo[open_pairs]]
    motions = dict(zip(by_photo.tolist(), _promising_motions(prepared, pairs[by_photo]), strict=True))
    for pair in open_pairs.tolist():
        starts = [_FLIP if flipped[pair] else np.eye(2, 3)] if alike[pair] else []
        for start in starts + motions.get(pair, []):
            ends = int(pairs.first[pair]), int(pairs.second[pair])
            result[pair] = max(result[pair], _registered_both_ways(prepared, ends, start))
            if result[pair] >= _CERTAIN:
                break
    return result


def _fine(prepared: PreparedPatches, rows: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """The detail of patches, and where they are inside the photo."""
    inside = (prepared.patches[rows] != OUTSIDE).astype(np.float32)
    return high_pass(prepared.patches[rows].astype(np.float32), inside, _SIGMA), inside


def _halved(patches: NDArray[np.uint8]) -> Floats:
    """(N, S, S) -> (N, S / 2, S / 2): means of 2 x 2 pixels; OpenCV gets all below each other."""
    count, side, _ = patches.shape
    tall = patches.reshape(-1, side).astype(np.float32)
    small = cv2.resize(tall, (side // 2, count * side // 2), interpolation=cv2.INTER_AREA)
    return np.asarray(small.reshape(count, side // 2, side // 2), np.float32)


def _coarse(prepared: PreparedPatches, pairs: Pairs) -> Floats:
    """(2, M) correlation of the pairs' detail at half size: as they are, and the second patches mirrored."""
    first, second = prepared.coarse[pairs.first], prepared.coarse[pairs.second]
    one, other = first.astype(np.float32), second.astype(np.float32)
    return np.stack(
        [
            correlations(
                one, other[..., ::step], ((first != _BEYOND) & (second[..., ::step] != _BEYOND)).astype(np.float32)
            )
            for step in (1, -1)
        ]
    )


def _unregistered(prepared: PreparedPatches, pairs: Pairs, flip: bool) -> Floats:
    """The similarity of patches as they are, the second ones mirrored where `flip`."""
    step = -1 if flip else 1
    (one, inside), (other, inside_other) = (_fine(prepared, side) for side in (pairs.first, pairs.second))
    return _with_part_above_mask(one, other[..., ::step], inside * inside_other[..., ::step])


def _promising_motions(prepared: PreparedPatches, pairs: Pairs) -> list[list[Motion]]:
    """For each pair the motions by its photos (_photo_motions) that bring coarse details about onto each other."""
    if not len(pairs):
        return []
    motions = _photo_motions(prepared, pairs)
    alike = _moved_coarse(prepared, pairs, _half_motions(motions)) >= _MIN_COARSE - _MARGIN
    return [[motions[side, pair] for side in np.flatnonzero(alike[:, pair])] for pair in range(len(pairs))]


def _photo_motions(prepared: PreparedPatches, pairs: Pairs) -> Motion:
    """(2, M, 2, 3) motions from first patches to second ones if photos have the same edges, and if one is mirrored."""
    last = np.broadcast_to(np.array([0, 0, 1.0]), (len(pairs), 1, 3))
    into, out_of = (np.concatenate([prepared.frames[side], last], axis=1) for side in (pairs.second, pairs.first))
    to_centres = np.array([[PATCH_PX, 0, -0.5], [0, PATCH_PX, -0.5], [0, 0, 1]])
    mirrors = (np.eye(3), np.array([[-1.0, 0, 1], [0, 1, 0], [0, 0, 1]]))
    back = np.linalg.inv(out_of) @ np.linalg.inv(to_centres)
    return np.stack([(to_centres @ into @ mirror @ back)[:, :2] for mirror in mirrors])


def _half_motions(motions: Motion) -> Motion:
    """Motions (..., 2, 3) between patches at half size, where pixels' centres are at (x - 0.5) / 2."""
    linear, shift = motions[..., :2], motions[..., 2]
    return np.concatenate([linear, ((shift - 0.5 + linear @ (0.5, 0.5)) / 2)[..., None]], axis=-1)


def _moved_coarse(prepared: PreparedPatches, pairs: Pairs, motions: Motion) -> Floats:
    """(K, M) correlation of the first patches' detail at half size with the second ones', moved by `motions`.

    These are (K, M, 2, 3). OpenCV moves all in one call: second patches are one tall picture of two channels, each in a
    border of zeros.
    """
    first, second = prepared.coarse[pairs.first], prepared.coarse[pairs.second]
    side = _HALF_PX + 2
    tall = np.zeros((len(pairs), side, side, 2), np.float32)
    inside = second != _BEYOND
    tall[:, 1:-1, 1:-1, 0], tall[:, 1:-1, 1:-1, 1] = second * inside, inside
    grid = np.stack([*np.meshgrid(np.arange(_HALF_PX), np.arange(_HALF_PX)), np.ones((_HALF_PX, _HALF_PX))])
    places = motions.astype(np.float32).reshape(-1, 3) @ grid.reshape(3, -1).astype(np.float32)
    x, y = np.moveaxis(places.reshape(-1, 2, _HALF_PX, _HALF_PX).clip(-1, _HALF_PX) + 1, 1, 0)
    y += np.tile(np.arange(len(pairs)), len(motions)).reshape(-1, 1, 1) * side
    x, y = (part.reshape(-1, _HALF_PX) for part in (x, y))
    moved = cv2.remap(tall.reshape(-1, side, 2), x, y, cv2.INTER_LINEAR).reshape(len(motions), *first.shape, 2)
    one, inside = first.astype(np.float32), first != _BEYOND
    overlaps = ((moved[..., 1] > 0.99) & inside).astype(np.float32)
    return np.stack([correlations(one, *part) for part in zip(moved[..., 0], overlaps, strict=True)])


def _registered_both_ways(prepared: PreparedPatches, pair: tuple[int, int], start: Motion) -> float:
    """The similarity of two patches after registration; in doubt the mean of both directions, which differ a little."""
    value = _registered(prepared, pair, start)
    if not _DOUBTFUL <= value < _CERTAIN:
        return value
    back = np.linalg.inv(np.vstack([start, [0, 0, 1]]))[:2]
    return (value + _registered(prepared, pair[::-1], back)) / 2


def _registered(prepared: PreparedPatches, pair: tuple[int, int], start: Motion) -> float:
    """The similarity of two patches after registration, which begins at `start`; -1 where it does not converge."""
    first, second = pair
    half = _half_motions(start).astype(np.float32)
    valid_first, valid = (prepared.coarse[which] != _BEYOND for which in pair)
    coarse, coarse_other = (
        prepared.coarse[first] * valid_first.astype(np.float32),
        prepared.coarse[second] * valid.astype(np.float32),
    )
    overlap = (_moved(valid.astype(np.float32), half) > 0.99) & valid_first
    alike = correlations(coarse[None], _moved(coarse_other, half)[None], overlap[None].astype(np.float32))[0]
    if alike < _MIN_COARSE:
        return -1.0
    try:
        # 1: without further smoothing.
        _, found = cv2.findTransformECC(coarse, coarse_other, half, cv2.MOTION_AFFINE, _STOP, valid.astype(np.uint8), 1)
    except cv2.error:  # it does not converge, or leaves no overlap: the patches have nothing in common
        return -1.0
    scale = found[:, :2]
    full = np.column_stack([scale, 2 * found[:, 2] + 0.5 - scale @ (0.5, 0.5)]).astype(np.float32)
    moved = _moved(prepared.patches[second].astype(np.float32), full)
    fine, inside = _fine(prepared, np.array(pair))
    seen = (_moved(inside[1], full) > 0.99).astype(np.float32)
    detail = high_pass(moved[None], seen[None], _SIGMA)
    return float(_with_part_above_mask(fine[:1], detail, (seen * inside[0])[None])[0])


def _moved(picture: Floats, motion: NDArray[np.float32]) -> Floats:
    """The picture as the other one of its pair shows it; 0 where it does not reach."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(picture, motion, picture.shape[::-1], flags=flags), np.float32)


def _with_part_above_mask(first: Floats, second: Floats, inside: Floats) -> Floats:
    """The lower of two correlations: of the whole patch, and of its part above a mask where enough of it is seen."""
    whole = correlations(first, second, inside)
    rows = slice(0, ABOVE_MASK_ROWS)
    above = correlations(first[:, rows], second[:, rows], inside[:, rows])
    return np.where(inside[:, rows].mean(axis=(1, 2)) >= _MIN_ABOVE, np.minimum(whole, above), whole)
