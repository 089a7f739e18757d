"""`python -m models evaluate-promoted`: the promoted model on today's test faces, to compare a new model with it.

Not a stage of DVC's, because promotion changes the registry that it reads.
"""

from models import evaluation_report, registry
from models.evaluation.evaluate import evaluate_checkpoint
from models.params import EvaluateParams
from pipeline.curation.measure_params import MeasureParams
from pipeline.curation.rules import CurateParams
from pipeline.errors import FacemaskError
from pipeline.paths import Paths


def evaluate_promoted(params: EvaluateParams, limits: CurateParams, settings: MeasureParams, paths: Paths) -> None:
    """Write work/promoted-evaluation.json, with the same metrics as reports/evaluation.json.

    The caller ensures that the promoted model was not trained on today's test faces: its packed images may be others.
    Raises FacemaskError if no model is promoted, or its weights are not in this workspace.
    """
    promoted = registry.read(paths.registry).promoted
    if promoted is None:
        raise FacemaskError("no model is promoted: 'facemask models' lists the models")
    weights = registry.weights(promoted, paths.registry)
    evaluation, _ = evaluate_checkpoint(weights, params, limits, settings, paths.pack)
    evaluation_report.write(paths.work() / registry.PROMOTED_EVALUATION, evaluation)
