"""The metrics of both directions that need no search for faces: all but the acceptance rates.

They run on a machine that has neither MediaPipe nor the manifest's reader.
"""

from dataclasses import replace
from statistics import mean, median

from models.evaluation.fid import INCEPTION, STUDY_FID
from models.evaluation.identity import identity_distances
from models.evaluation.realism import rounded, with_fidelity, with_realism, with_truth
from models.evaluation.translation import DirectionResult, FaceSet, Images, Translations
from models.evaluation.true_faces import twin_places
from models.evaluation_report import DirectionMetrics
from models.params import Direction


def direction_metrics(found: Translations) -> tuple[DirectionMetrics, DirectionMetrics]:
    """Of putting masks on, and of taking them off; the latter is empty where the model only puts masks on.

    Fakes are compared with the real test faces of the domain that they should resemble.
    """
    bare_faces = found.masking.faces(found.unmasked.ffhq_ids())
    unmasking = found.unmasking
    masked_faces = unmasking.faces(found.masked.ffhq_ids()) if unmasking else found.masked.photos()
    mask = _metrics("mask", found.masking, masked_faces.images)
    mask = with_realism(mask, replace(bare_faces, images=found.masking.fakes), masked_faces)
    if unmasking is None:
        return mask, DirectionMetrics()
    fake_bare = replace(masked_faces, images=unmasking.fakes)
    unmask = with_realism(_metrics("unmask", unmasking, bare_faces.images), fake_bare, bare_faces)
    places, truths = true_faces(found)
    if places:
        unmask = with_truth(unmask, fake_bare.at(places), masked_faces.at(places), truths.photos())
    return mask, unmask


def true_faces(found: Translations) -> tuple[list[int], FaceSet]:
    """Which of the masked faces have an unmasked photo among all test faces, and these photos, in the same order."""
    pairs = twin_places(found.masked.ffhq_ids(), found.unmasked.packed.ffhq_ids)
    return [place for place, _ in pairs], replace(found.unmasked, indices=[index for _, index in pairs])


def _metrics(direction: Direction, result: DirectionResult, reals: Images) -> DirectionMetrics:
    """All metrics of one direction but the acceptance rate, to four digits."""
    metrics = DirectionMetrics(
        images=len(result.fakes),
        psnr_outside_db=rounded(median(result.psnr_outside)),
        psnr_cycle_db=rounded(median(result.psnr_cycle)) if result.psnr_cycle else None,
        matte_inside=rounded(mean(result.matte_inside)),
        matte_outside=rounded(mean(result.matte_outside)),
        identity_distance=_median_distance(result.photos, result.fakes),
        identity_distance_back=_median_distance(result.photos, result.reconstructions),
    )
    metrics = with_fidelity(metrics, result.fakes, reals)
    # Comparable only where the features are the study's.
    return replace(metrics, fid_of_the_study=STUDY_FID[direction]) if metrics.fid_features == INCEPTION else metrics


def _median_distance(photos: Images, others: Images | None) -> float | None:
    distances = None if others is None else identity_distances(photos, others)
    return None if distances is None else rounded(median(distances))
