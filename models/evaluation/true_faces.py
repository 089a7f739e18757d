"""Compares fakes with the true faces: masked test faces whose unmasked photo is a test face too."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from models.evaluation.bootstrap import interval_of_mean, persons_of
from models.evaluation.face_images import FaceImages, tensor_batches
from models.evaluation.identity import identity_distances
from models.evaluation.metrics import psnr, ssim
from models.face_regions import dilated_region

MIN_AGREEMENT_DB = 25.0
"""PSNR of photo and true face beside both dilated regions, from which both show the same photo in the same frame.

Of 193 faces at 128 px, all have 27 dB or more after JPEG at quality 50, and half have 22 dB or less if shifted by 2 px.
"""


@dataclass(frozen=True)
class Estimate:
    """The mean over the pairs."""

    mean: float
    interval: list[float]  # 95 %, [low, high]


@dataclass(frozen=True)
class TrueFaceMetrics:
    """How near fakes are to the true faces."""

    pairs: int
    psnr_db: Estimate  # within the true face's lower-face region
    ssim: Estimate  # there
    identity_distance: Estimate | None  # None without the packages of the extra `identity`


def twin_places(ffhq_ids: Sequence[int | None], others: Sequence[int | None]) -> list[tuple[int, int]]:
    """(place, place among others) of each picture whose person is among the others too; of several, the first."""
    first = {known: place for place, known in reversed(list(enumerate(others))) if known is not None}
    return [(place, first[known]) for place, known in enumerate(ffhq_ids) if known in first]


def agreement_db(photos: FaceImages, truths: FaceImages) -> list[float]:
    """PSNR in dB of each photo and its true face beside the dilated regions of both."""
    found: list[float] = []
    for (photo, region), (truth, true_region) in tensor_batches(photos, truths):
        inside = dilated_region(torch.maximum(region, true_region))
        found += psnr(photo, truth, 1 - inside).tolist()
    return found


def true_face_metrics(fakes: FaceImages, photos: FaceImages, truths: FaceImages) -> TrueFaceMetrics | None:
    """Metrics of fakes against the true faces, for pairs of the same photo in the same frame; None if there are none.

    fakes, photos and truths: of the same N faces, in the same order.
    """
    agree = [place for place, found in enumerate(agreement_db(photos, truths)) if found >= MIN_AGREEMENT_DB]
    if not agree:
        return None
    fakes, truths = fakes.at(agree), truths.at(agree)
    psnr_db, similarity = [], []
    for (fake, _), (truth, region) in tensor_batches(fakes, truths):
        psnr_db += psnr(fake, truth, region).tolist()
        similarity += ssim(fake, truth, region).tolist()
    distances = identity_distances(truths.images, fakes.images)
    persons = persons_of(truths.ffhq_ids)

    def estimate(values: list[float]) -> Estimate:
        return Estimate(float(np.mean(values)), interval_of_mean(values, persons))

    return TrueFaceMetrics(
        pairs=len(agree),
        psnr_db=estimate(psnr_db),
        ssim=estimate(similarity),
        identity_distance=None if distances is None else estimate(distances),
    )
