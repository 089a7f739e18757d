"""The paths of a workspace: each path that more than one module uses is defined here and nowhere else.

A workspace is a folder with dvc.yaml and params.yaml. dvc.yaml repeats the paths of the stages' outputs.
"""

import os
from pathlib import Path

CHECKPOINT_JSON = "checkpoint.json"  # in a checkpoint's folder, and in a model's
MODELS_JSON = "models.json"  # in the registry's folder: all models, and which one is promoted
INDEX = "index.parquet"  # in a source's folder of shards


class Paths:
    """The paths of the workspace `root`, by default the current folder."""

    def __init__(self, root: Path = Path()) -> None:
        self.root = root
        self.params = root / "params.yaml"  # the parameters of every stage
        self.inbox = root / "data/inbox"  # files that the user provides, one folder for each source
        self.raw = root / "data/raw"  # fetched shards, one folder for each source
        self.measured = root / "data/measured"  # measurements, one folder for each source
        self.review = root / "data/review.csv"  # the decisions of human reviewers
        self.survey = root / "data/survey.jsonl"  # votes of `facemask survey`
        self.survey_result = root / "data/survey.json"  # their result, a metric of DVC
        self.manifest = root / "data/manifest.parquet"  # one row for every image
        self.pack = root / "data/train"  # the packed training arrays
        self.start = root / "data/start"  # the weights that training starts from
        self.checkpoints = root / "checkpoints"  # the trained model
        self.registry = root / "registry"  # promoted models
        self.reports = root / "reports"
        self.curation_report = self.reports / "curation.json"  # counts of kept and rejected images
        self.training_report = self.reports / "training"  # DVCLive's: metrics.json, plots/metrics/, progress.png
        self.evaluation = self.reports / "evaluation.json"  # metrics of the trained model
        self.headline = self.reports / "metrics.json"  # the few numbers of a run that DVC compares
        self.samples = self.reports / "samples"  # the grid of sample faces
        self.page = self.reports / "index.html"  # which shows the manifest

    def work(self, *parts: str) -> Path:
        """Return a folder for half-done work, in `work/` or FACEMASK_WORK; it is created."""
        folder = (self.root / os.environ.get("FACEMASK_WORK", "work")).joinpath(*parts)
        folder.mkdir(parents=True, exist_ok=True)
        return folder
