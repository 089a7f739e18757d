"""Where everything is in a workspace: the one definition of each path that more than one module uses.

A workspace is a folder with dvc.yaml and params.yaml. Every path of an output is listed in dvc.yaml too.
"""

import os
from dataclasses import dataclass
from pathlib import Path

CHECKPOINT_JSON = "checkpoint.json"  # in a checkpoint's folder, and in a model's
INDEX = "index.parquet"  # in a source's folder of shards


@dataclass(frozen=True)
class Paths:
    """The paths of the workspace `root`, by default the current folder."""

    root: Path = Path()

    @property
    def params(self) -> Path:
        return self.root / "params.yaml"

    @property
    def inbox(self) -> Path:
        """Files that the user puts there, a folder a source."""
        return self.root / "data/inbox"

    @property
    def raw(self) -> Path:
        return self.root / "data/raw"

    @property
    def measured(self) -> Path:
        return self.root / "data/measured"

    @property
    def review(self) -> Path:
        return self.root / "data/review.csv"

    @property
    def manifest(self) -> Path:
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
        return self.root / "checkpoints"

    @property
    def registry(self) -> Path:
        return self.root / "registry"

    @property
    def reports(self) -> Path:
        return self.root / "reports"

    @property
    def curation_report(self) -> Path:
        return self.reports / "curation.json"

    @property
    def training_report(self) -> Path:
        """What DVCLive writes: metrics.json, plots/metrics/ and progress.png."""
        return self.reports / "training"

    @property
    def evaluation(self) -> Path:
        return self.reports / "evaluation.json"

    @property
    def samples(self) -> Path:
        """The grid of sample faces."""
        return self.reports / "samples"

    @property
    def page(self) -> Path:
        return self.reports / "index.html"

    def work(self, *parts: str) -> Path:
        """A folder for half-done work, in `work/` or where FACEMASK_WORK says; made if it is not there."""
        folder = (self.root / os.environ.get("FACEMASK_WORK", "work")).joinpath(*parts)
        folder.mkdir(parents=True, exist_ok=True)
        return folder
