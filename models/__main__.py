"""`python -m models STAGE`: run one stage in the current folder, as dvc.yaml does."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.command import run
from pipeline.experiments import refuse_incomplete_copy
from pipeline.params import load
from pipeline.paths import Paths

if TYPE_CHECKING:
    from models.params import EvaluateParams
    from pipeline.curation.measure_params import MeasureParams
    from pipeline.curation.rules import CurateParams


def main() -> None:
    """Run the stage that the command line names, with its blocks of params.yaml."""
    parser = argparse.ArgumentParser(prog="python -m models", description="Run one stage.")
    parser.add_argument("stage", choices=("start", "train", "evaluate", "evaluate-promoted"))
    # Waiting threads spin by default, which slows a step tenfold beside any other busy process. torch's OpenMP reads
    # this variable when it is loaded, hence before the imports below.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Imported where needed, so that a stage loads its own modules only.
    stage = parser.parse_args().stage
    refuse_incomplete_copy(stage, Path.cwd())
    match stage:
        case "start":
            from models.params import RetrainParams
            from models.training.warm_start import start

            start(load("retrain", RetrainParams), Paths())
        case "train":
            from models.params import EvaluateParams, train_params
            from models.training.loop import train

            params = train_params()
            load("evaluate", EvaluateParams)  # a typo there is reported now, not after the training
            train(params, Paths())
        case "evaluate":
            from models.evaluation.evaluate import evaluate

            evaluate(*_evaluation_params(), Paths())
        case "evaluate-promoted":
            from models.evaluation.evaluate_promoted import evaluate_promoted

            evaluate_promoted(*_evaluation_params(), Paths())


def _evaluation_params() -> "tuple[EvaluateParams, CurateParams, MeasureParams]":
    """The blocks that evaluation reads: its own, and those of curation, which decide what is accepted."""
    from models.params import EvaluateParams
    from pipeline.curation.measure_params import MeasureParams
    from pipeline.curation.rules import CurateParams

    return load("evaluate", EvaluateParams), load("curate", CurateParams), load("measure", MeasureParams)


if __name__ == "__main__":
    run(main)
