"""Stage `evaluate`: metrics of a checkpoint's generators on the test faces, and a grid of samples."""

from dataclasses import replace
from pathlib import Path

from models import evaluation_report
from models.evaluation.direction_metrics import direction_metrics, true_faces
from models.evaluation.face_images import digest_of_faces
from models.evaluation.new_faces import evaluate_new_faces
from models.evaluation.realism import rounded
from models.evaluation.translation import Images, sample_grid, translate_test_faces
from models.evaluation_report import DIRECTIONS, Evaluation
from models.image_grids import write_png
from models.params import EvaluateParams
from models.training import checkpoint
from pipeline.curation.acceptance import acceptance_rate
from pipeline.curation.measure_params import MeasureParams
from pipeline.curation.rules import CurateParams
from pipeline.paths import Paths
from pipeline.storage.files import replacing_folder, sha256


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
    found = translate_test_faces(folder, params, pack)
    mask, unmask = direction_metrics(found)
    mask = replace(mask, accepted=rounded(acceptance_rate(found.masking.fakes, limits, settings)))
    if found.unmasking:
        unmask = replace(unmask, still_masked=rounded(acceptance_rate(found.unmasking.fakes, limits, settings)))
    _, truths = true_faces(found)
    evaluation = Evaluation(
        checkpoint=sha256(folder / checkpoint.JSON_NAME)[:12],
        images_seen=checkpoint.read_info(folder).images_seen,
        test_set=digest_of_faces(*((faces.packed, faces.indices) for faces in (found.unmasked, found.masked, truths))),
        mask=mask,
        unmask=unmask,
    )
    _print_metrics(evaluation)
    return evaluation, sample_grid(found, params.grid_faces)


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
