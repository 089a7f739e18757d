"""`python -m models STAGE`: one stage, as dvc.yaml calls it, from the project's folder."""

import argparse
import os
from pathlib import Path

from pipeline.errors import FacemaskError, run
from pipeline.params import load
from pipeline.storage.files import work_folder

PACK = Path("data/train")
START = Path("data/start")
CHECKPOINTS = Path("checkpoints")
TRAINING_REPORT = Path("reports/training")
EVALUATION = Path("reports/evaluation.json")
SAMPLES = Path("reports/samples")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m models", description="Run one stage.")
    parser.add_argument("stage", choices=("start", "train", "evaluate", "judge"))
    # Threads that wait spin by default, and beside any other busy process that slows a step tenfold. Read by torch's
    # OpenMP as it is loaded, hence before the imports below.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Imported as they are needed: each stage depends on its own modules only.
    match parser.parse_args().stage:
        case "start":
            from models.params import RetrainParams
            from models.registry import REGISTRY
            from models.training.warm_start import start

            start(load("retrain", RetrainParams), REGISTRY, START)
        case "train":
            from models.params import train_params
            from models.training.loop import train

            train(train_params(), PACK, CHECKPOINTS, TRAINING_REPORT, START)
        case "evaluate":
            from models.evaluation.evaluate import evaluate
            from models.params import EvaluateParams

            evaluate(load("evaluate", EvaluateParams), CHECKPOINTS, PACK, EVALUATION, SAMPLES)
        case "judge":
            from models import registry
            from models.evaluation.evaluate import evaluate_again
            from models.params import EvaluateParams

            promoted = registry.read().promoted
            if promoted is None:
                raise FacemaskError("no model is promoted yet: 'facemask models' lists them")
            evaluate_again(
                load("evaluate", EvaluateParams), registry.weights(promoted), PACK, work_folder() / registry.JUDGED
            )


if __name__ == "__main__":
    run(main)
