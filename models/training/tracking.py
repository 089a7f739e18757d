"""The training curves: kept in the checkpoint, shown by DVCLive, and by TensorBoard where it is installed."""

from pathlib import Path
from typing import TYPE_CHECKING

from dvc.scm import SCMError  # type: ignore[import-untyped]
from dvclive.live import Live

from pipeline.errors import FacemaskError

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

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


def open_board(folder: Path, images_seen: int) -> "SummaryWriter | None":
    """Go on writing TensorBoard's events into `folder`; None where the extra `tensorboard` is not installed.

    What an interrupted run wrote beyond `images_seen` is marked as void. Not among the outputs: events hold the time of
    day, and would differ from run to run.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=images_seen + 1)


def draw(board: "SummaryWriter", row: Row) -> None:
    for name, value in row.items():
        if name != "images":
            board.add_scalar(name, value, int(row["images"]))
