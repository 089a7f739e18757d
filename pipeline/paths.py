"""The paths of a workspace: each path that more than one module uses is defined here and nowhere else.

A workspace is a folder with dvc.yaml and params.yaml. dvc.yaml repeats the paths of the stages' outputs.
"""

import os
from dataclasses import dataclass
from pathlib import Path

CHECKPOINT_JSON = "checkpoint.json"  # in a checkpoint's folder, and in a model's
MODELS_JSON = "models.json"  # in the registry's folder: all models, and which one is promoted
INDEX = "index.parquet"  # in a source's folder of shards


@dataclass(frozen=True)
class Paths:
    """The paths of the workspace `root`, by default the current folder."""

    root: Path = Path()

    @property
    def params(self) -> Path:
        """The parameters of every stage."""
        return self.root / "params.yaml"

    @property
    def inbox(self) -> Path:
        """Files that the user provides, one folder for each source."""
        return self.root / "data/inbox"

    @property
    def raw(self) -> Path:
        """Fetched shards, one folder for each source."""
        return self.root / "data/raw"

    @property
    def measured(self) -> Path:
        """Measurements, one folder for each source."""
        return self.root / "data/measured"

    @property
    def review(self) -> Path:
        """The decisions of human reviewers."""
        return self.root / "data/review.csv"

    @property
    def manifest(self) -> Path:
        """One row for every image."""
        return self.root / "data/manifest.parquet"

    @property
    def pack(self) -> Path:
        """The packed training arrays."""
        return self.root / "data/train"

    @property
    def start(self) -> Path:
        """The weights that training starts from."""
        return self.root / "data/start"

    @property
    def checkpoints(self) -> Path:
        """The trained model."""
        return self.root / "checkpoints"

    @property
    def registry(self) -> Path:
        """Promoted models."""
        return self.root / "registry"

    @property
    def reports(self) -> Path:
        """Reports and the page."""
        return self.root / "reports"

    @property
    def curation_report(self) -> Path:
        """Counts of kept and rejected images."""
        return self.reports / "curation.json"

    @property
    def training_report(self) -> Path:
        """DVCLive's folder: metrics.json, plots/metrics/ and progress.png."""
        return self.reports / "training"

    @property
    def evaluation(self) -> Path:
        """Metrics of the trained model."""
        return self.reports / "evaluation.json"

    @property
    def headline(self) -> Path:
        """The few numbers of a run that DVC compares."""
        return self.reports / "metrics.json"

    @property
    def samples(self) -> Path:
        """The grid of sample faces."""
        return self.reports / "samples"

    @property
    def page(self) -> Path:
        """The page that shows the manifest."""
        return self.reports / "index.html"

    def work(self, *parts: str) -> Path:
        """Return a folder for half-done work, in `work/` or FACEMASK_WORK; it is created."""
        folder = (self.root / os.environ.get("FACEMASK_WORK", "work")).joinpath(*parts)
        folder.mkdir(parents=True, exist_ok=True)
        return folder
