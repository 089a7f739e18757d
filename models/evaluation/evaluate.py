"""Stage `evaluate`: metrics of a checkpoint's generators on the test faces, and a grid of samples.

Each direction translates the test faces of one domain (fakes), and translates the fakes back (reconstructions). A model
that only puts masks on has neither reconstructions nor the other direction.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, median

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models import evaluation_report
from models.evaluation.face_images import FaceImages, digest_of_faces, evaluated_faces
from models.evaluation.fid import INCEPTION, STUDY_FID
from models.evaluation.identity import identity_distances
from models.evaluation.metrics import mean_over_mask, psnr
from models.evaluation.new_faces import evaluate_new_faces
from models.evaluation.realism import rounded, with_fidelity, with_realism, with_truth
from models.evaluation.true_faces import twin_places
from models.evaluation_report import DIRECTIONS, DirectionMetrics, Evaluation
from models.face_regions import dilated_region, eroded_region, lower_face_region
from models.image_grids import image_grid, with_heads, write_png
from models.methods.method import Faces
from models.params import Direction, EvaluateParams
from models.training import checkpoint
from models.training.data import evenly_spaced, to_pixels, whole_batch
from models.training.drawn_inputs import WholeDrawings
from pipeline.curation.acceptance import acceptance_rate
from pipeline.curation.measure_params import MeasureParams
from pipeline.curation.rules import CurateParams
from pipeline.paths import Paths
from pipeline.storage.files import replacing_folder, sha256
from pipeline.storage.packed_arrays import PackedSet

_GRID_HEADS = (("photo", "mask on", "and off again"), ("masked photo", "mask off", "and on again"))
Images = NDArray[np.uint8]


@dataclass(frozen=True)
class FaceSet:
    """The test faces of one domain that are evaluated."""

    packed: PackedSet
    domain: str
    indices: list[int]  # evenly spaced over `packed`
    image_px: int  # the size that the generators take
    batch_size: int
    drawn: WholeDrawings | None  # for the checkpoint's generators; None: they take no drawings

    def batches(self) -> Iterator[Faces]:
        """Faces with what is drawn on them, in the order of `indices`."""
        for start in range(0, len(self.indices), self.batch_size):
            indices = self.indices[start : start + self.batch_size]
            yield whole_batch(self.packed, self.domain, indices, self.image_px, self.drawn)

    def ffhq_ids(self) -> list[int | None]:
        """The ids of the faces, in the order of `indices`."""
        return [self.packed.ffhq_ids[index] for index in self.indices]

    def photos(self) -> FaceImages:
        """The test faces themselves, in the order of `indices`."""
        without_drawings = replace(self, drawn=None).batches()
        batches = [
            (to_pixels(photos), _region_pixels(lower_face_region(maps))) for photos, maps, *_ in without_drawings
        ]
        images, regions = (np.concatenate(parts) for parts in zip(*batches, strict=True))
        return FaceImages(images, regions, self.ffhq_ids())


@dataclass(frozen=True)
class DirectionResult:
    """Images and measurements of one direction, one per test face."""

    photos: Images  # (N, H, W, 3), the test faces
    fakes: Images  # (N, H, W, 3)
    reconstructions: Images | None  # (N, H, W, 3); None: the model has no way back
    regions: NDArray[np.uint8]  # (N, H, W) of 0 and 1, the lower-face regions
    psnr_cycle: list[float]  # dB, reconstruction against photo; empty: the model has no way back
    psnr_outside: list[float]  # dB, fake against photo, outside the dilated region
    matte_inside: list[float]  # mean matte in the eroded region, 0-1
    matte_outside: list[float]  # mean matte outside the dilated region, 0-1

    def faces(self, ffhq_ids: list[int | None]) -> FaceImages:
        """The test faces, whose ids these are."""
        return FaceImages(self.photos, self.regions, ffhq_ids)


def evaluate(params: EvaluateParams, limits: CurateParams, settings: MeasureParams, paths: Paths) -> None:
    """Write reports/evaluation.json and reports/samples/grid.png for the checkpoint in checkpoints/.

    Reads the packed test faces only. Raises FacemaskError if there are none, or if the checkpoint was trained on other
    packed images, in which today's test faces may have been training faces.
    """
    info = checkpoint.read_info(paths.checkpoints)
    checkpoint.refuse_other_pack(paths.checkpoints, info, sha256(paths.pack / "pack.json"))
    evaluation, grid = evaluate_checkpoint(paths.checkpoints, params, limits, settings, paths.pack)
    with replacing_folder(paths.samples) as made:
        write_png(made / ("new_faces.png" if evaluation.makes_faces else "grid.png"), grid)
    evaluation_report.write(paths.evaluation, evaluation)


def evaluate_checkpoint(
    folder: Path, params: EvaluateParams, limits: CurateParams, settings: MeasureParams, pack: Path
) -> tuple[Evaluation, Images]:
    """The evaluation of the checkpoint in `folder` on the test faces in `pack`, and the sample grid (H, W, 3).

    `limits` and `settings` are those of curation: acceptance is measured as curation measures photos.
    The caller ensures that the checkpoint was not trained on these test faces.
    """
    if checkpoint.makes_faces(checkpoint.read_info(folder)):
        return evaluate_new_faces(folder, params, limits, settings, pack)
    generators, info = checkpoint.load_generators(folder)
    for generator in generators.values():
        generator.to("cuda" if torch.cuda.is_available() else "cpu")
    drawn = None
    if info.generator == "guided":
        drawn = WholeDrawings(checkpoint.load_masks(folder, info), checkpoint.directions(info))
    px = int(info.params["image_px"])
    unmasked, masked = (_face_set(pack, domain, params, px, drawn) for domain in ("unmasked", "masked"))
    print(f"evaluating {folder} on up to {params.images} test faces a domain", flush=True)
    masking = translate_and_reconstruct("mask", generators, unmasked)
    unmasking = translate_and_reconstruct("unmask", generators, masked) if "generator_unmask" in generators else None
    # Fakes are compared with the real test faces of the domain that they should resemble.
    bare_faces = masking.faces(unmasked.ffhq_ids())
    masked_faces = masked.photos() if unmasking is None else unmasking.faces(masked.ffhq_ids())
    places, truths = _true_faces(masked, unmasked)
    mask = with_realism(
        _metrics("mask", masking, masked_faces.images), replace(bare_faces, images=masking.fakes), masked_faces
    )
    mask = replace(mask, accepted=rounded(acceptance_rate(masking.fakes, limits, settings)))
    unmask = DirectionMetrics()
    if unmasking:
        fake_bare = replace(masked_faces, images=unmasking.fakes)
        unmask = with_realism(_metrics("unmask", unmasking, bare_faces.images), fake_bare, bare_faces)
        if places:
            unmask = with_truth(unmask, fake_bare.at(places), masked_faces.at(places), truths.photos())
        unmask = replace(unmask, still_masked=rounded(acceptance_rate(unmasking.fakes, limits, settings)))
    evaluation = Evaluation(
        checkpoint=sha256(folder / checkpoint.JSON_NAME)[:12],
        images_seen=info.images_seen,
        test_set=digest_of_faces(*((faces.packed, faces.indices) for faces in (unmasked, masked, truths))),
        mask=mask,
        unmask=unmask,
    )
    _print_metrics(evaluation)
    return evaluation, _sample_grid([masking, *([unmasking] if unmasking else [])], params.grid_faces)


def _print_metrics(evaluation: Evaluation) -> None:
    """Print a line for each direction that was evaluated."""
    if evaluation.mask.kid is None:
        print(
            "no KID: it needs two test faces a domain, and: pip install -c constraints.txt -e '.[evaluation]'",
            flush=True,
        )
    for direction in DIRECTIONS:
        if values := evaluation.of(direction).measured():
            print(f"{direction}: " + ", ".join(f"{name} {value}" for name, value in values.items()), flush=True)
        else:
            print(f"{direction}: not measured, the model has no such generator", flush=True)


def _face_set(pack: Path, domain: str, params: EvaluateParams, image_px: int, drawn: WholeDrawings | None) -> FaceSet:
    packed, indices = evaluated_faces(pack, domain, params.images)
    return FaceSet(packed, domain, indices, image_px, params.batch_size, drawn)


def _true_faces(masked: FaceSet, unmasked: FaceSet) -> tuple[list[int], FaceSet]:
    """Which of the masked faces have an unmasked photo among all test faces, and these photos, in the same order."""
    pairs = twin_places(masked.ffhq_ids(), unmasked.packed.ffhq_ids)
    return [place for place, _ in pairs], replace(unmasked, indices=[index for _, index in pairs])


@torch.inference_mode()
def translate_and_reconstruct(
    direction: Direction, generators: dict[str, nn.Module], faces: FaceSet
) -> DirectionResult:
    """Translate test faces in `direction`, translate the fakes back, both in float32, and measure each face."""
    back_direction: Direction = "unmask" if direction == "mask" else "mask"
    forward, backward = generators[f"generator_{direction}"], generators.get(f"generator_{back_direction}")
    images: list[tuple[Images, Images]] = []
    back: list[Images] = []
    region_pixels: list[NDArray[np.uint8]] = []
    psnr_cycle: list[float] = []
    values: list[list[float]] = [[], [], []]
    device = next(forward.parameters()).device
    for of_cpu in faces.batches():
        batch = of_cpu.on(device)
        photos, conditioning = batch.images, batch.conditioning
        regions = lower_face_region(conditioning)
        fakes, mattes = forward(photos, conditioning, batch.drawing_for(direction))
        images.append((to_pixels(photos), to_pixels(fakes)))
        outside = 1 - dilated_region(regions)
        region_pixels.append(_region_pixels(regions))
        measured = (
            psnr(fakes, photos, outside),
            mean_over_mask(mattes, eroded_region(regions)),
            mean_over_mask(mattes, outside),
        )
        if backward:
            reconstructions, _ = backward(fakes, conditioning, batch.drawing_for(back_direction))
            back.append(to_pixels(reconstructions))
            psnr_cycle += psnr(reconstructions, photos, torch.ones_like(regions)).tolist()
        for column, figures in zip(values, measured, strict=True):
            column += figures.tolist()
    all_photos, all_fakes = (np.concatenate(batches) for batches in zip(*images, strict=True))
    all_back, all_regions = np.concatenate(back) if back else None, np.concatenate(region_pixels)
    return DirectionResult(all_photos, all_fakes, all_back, all_regions, psnr_cycle, *values)


def _region_pixels(regions: torch.Tensor) -> NDArray[np.uint8]:
    """(B, 1, H, W) of 0 and 1 -> (B, H, W)."""
    return np.asarray(regions[:, 0].byte().cpu().numpy())


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


def _sample_grid(results: list[DirectionResult], rows: int) -> Images:
    """Up to `rows` rows of: unmasked photo, masked fake, reconstruction; masked photo, unmasked fake, reconstruction.

    The same test faces give the same rows. What a model does not make is left out.
    """
    columns = {
        head: [images[place] for place in evenly_spaced(len(images), rows)]
        for result, heads in zip(results, _GRID_HEADS, strict=False)
        for head, images in zip(heads, (result.photos, result.fakes, result.reconstructions), strict=True)
        if images is not None
    }
    return with_heads(image_grid([list(row) for row in zip(*columns.values(), strict=False)]), list(columns))
