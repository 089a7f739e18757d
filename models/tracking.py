"""The training curves: kept in the checkpoint, shown by DVCLive."""

from pathlib import Path

from dvc.scm import SCMError  # type: ignore[import-untyped]
from dvclive.live import Live

from pipeline.errors import FacemaskError

Row = dict[str, float]
"""One point of every curve: `images`, and the metrics at that many images seen."""


def open_live(folder: Path, history: list[Row]) -> Live:
    """Start DVCLive afresh in `folder` and give it all of `history`.

    So after a kill the curves are those of the checkpoint: no point is lost or there twice.
    """
    try:
        live = Live(dir=str(folder), report=None, save_dvc_exp=False, dvcyaml=None)
    except SCMError as error:
        raise FacemaskError(
            f"DVCLive cannot log training in this git repository ({str(error).rstrip('.')}): "
            "make a first commit (git commit), then run again"
        ) from error
    for row in history:
        show(live, row)
    return live


def show(live: Live, row: Row) -> None:
    """Append one row to plots/metrics/NAME.tsv and put it into metrics.json."""
    live.step = int(row["images"])
    for name, value in row.items():
        if name != "images":
            live.log_metric(name, value)
    live.make_summary()  # type: ignore[no-untyped-call]
