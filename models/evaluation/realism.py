"""Metrics of realism for a direction's record: two-sample test, sharpness, and distance to the true faces."""

from dataclasses import replace
from statistics import median

import numpy as np
from numpy.typing import NDArray

from models.evaluation.face_images import FaceImages, tensor_batches
from models.evaluation.fid import fidelity
from models.evaluation.kid import kid
from models.evaluation.metrics import sharpness
from models.evaluation.true_faces import true_face_metrics
from models.evaluation.two_sample import compare_faces
from models.evaluation_report import DirectionMetrics
from models.face_regions import eroded_region

_DIGITS = 4


def with_fidelity(metrics: DirectionMetrics, fakes: NDArray[np.uint8], reals: NDArray[np.uint8]) -> DirectionMetrics:
    """Add KID, FID, precision and recall of fakes (N, H, W, 3) to reals (M, H, W, 3), where they can be measured."""
    metrics = replace(metrics, kid=rounded(kid(fakes, reals)))
    if (found := fidelity(fakes, reals)) is None:
        return metrics
    return replace(
        metrics,
        fid=rounded(found.fid),
        precision=rounded(found.precision),
        recall=rounded(found.recall),
        fid_features=found.features,
    )


def with_realism(metrics: DirectionMetrics, fakes: FaceImages, reals: FaceImages) -> DirectionMetrics:
    """Add how well fakes are separated from real test faces of their target domain, and their sharpness."""
    ratio = sharpness_ratio(fakes, reals)
    metrics = replace(metrics, sharpness_ratio=None if ratio is None else round(ratio, _DIGITS))
    if (found := compare_faces(fakes, reals)) is None:
        return metrics
    return replace(
        metrics,
        real_fake_auc=round(found.auc, _DIGITS),
        real_fake_auc_interval=_rounded(found.auc_interval),
        real_fake_dprime=round(found.dprime, _DIGITS),
    )


def with_truth(
    metrics: DirectionMetrics, fakes: FaceImages, photos: FaceImages, truths: FaceImages
) -> DirectionMetrics:
    """Add how close fakes of masked photos are to the true faces. All three have the same faces in the same order."""
    if (found := true_face_metrics(fakes, photos, truths)) is None:
        return metrics
    identity = found.identity_distance
    return replace(
        metrics,
        true_pairs=found.pairs,
        true_psnr_db=round(found.psnr_db.mean, _DIGITS),
        true_psnr_db_interval=_rounded(found.psnr_db.interval),
        true_ssim=round(found.ssim.mean, _DIGITS),
        true_ssim_interval=_rounded(found.ssim.interval),
        true_identity_distance=None if identity is None else round(identity.mean, _DIGITS),
        true_identity_distance_interval=None if identity is None else _rounded(identity.interval),
    )


def rounded(value: float | None) -> float | None:
    """A figure to the four digits of the record."""
    return None if value is None else round(float(value), _DIGITS)


def sharpness_ratio(fakes: FaceImages, reals: FaceImages) -> float | None:
    """Median sharpness of fakes in the eroded region to that of real faces; None where no face has such a region."""
    of_fakes, of_reals = (_sharpness(faces) for faces in (fakes, reals))
    if not of_fakes or not of_reals or median(of_reals) == 0:
        return None
    return median(of_fakes) / median(of_reals)


def _sharpness(faces: FaceImages) -> list[float]:
    """The sharpness of each face that has an eroded region: a face without landmarks has none."""
    found: list[float] = []
    for ((images, regions),) in tensor_batches(faces):
        eroded = eroded_region(regions)
        there = eroded.amax(dim=(1, 2, 3)) > 0
        found += sharpness(images, eroded)[there].tolist()
    return found


def _rounded(interval: list[float]) -> list[float]:
    return [round(bound, _DIGITS) for bound in interval]
