"""The training curves: kept in the checkpoint, shown by DVCLive, and by TensorBoard if it is installed."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import FacemaskError

if TYPE_CHECKING:
    from dvclive.live import Live
    from torch.utils.tensorboard import SummaryWriter

Row = dict[str, float]
"""One point of every curve: `images`, the images of each domain seen so far, and the metrics at that point."""


@dataclass(frozen=True)
class Curves:
    """Writers of the training curves; without any, `add` and `close` do nothing."""

    live: "Live | None" = None
    board: "SummaryWriter | None" = None

    def add(self, row: Row) -> None:
        """Append one point to every curve."""
        if self.live:
            _add_to_live(self.live, row)
        if self.board:
            for name, value in _metrics(row).items():
                self.board.add_scalar(name, value, int(row["images"]))

    def close(self) -> None:
        """Flush and close the files."""
        if self.live:
            self.live.end()  # type: ignore[no-untyped-call]
        if self.board:
            self.board.close()


def open_curves(live_folder: Path, board_folder: Path, history: list[Row], images_seen: int) -> Curves:
    """DVCLive in `live_folder`, restarted with all of `history`, and TensorBoard in `board_folder`, continued."""
    return Curves(_open_live(live_folder, history), _open_board(board_folder, images_seen))


def _open_live(folder: Path, history: list[Row]) -> "Live | None":
    """Restart DVCLive: so after a kill the curves are those of the checkpoint, without missing or repeated points.

    None where it is not installed: a bare GPU machine can train without DVC, and the curves stay in the checkpoint.
    """
    try:
        from dvc.scm import SCMError
        from dvclive.live import Live
    except ImportError:
        print("DVCLive is not installed: the curves are only in the checkpoint's history.json", flush=True)
        return None

    try:
        live = Live(dir=str(folder), report=None, save_dvc_exp=False, dvcyaml=None)
    except SCMError as error:
        raise FacemaskError(
            f"DVCLive cannot log training in this git repository ({str(error).rstrip('.')}): "
            "make a first commit (git commit), then run again"
        ) from error
    for row in history:
        _add_to_live(live, row)
    return live


def _add_to_live(live: "Live", row: Row) -> None:
    """Append one point to plots/metrics/NAME.tsv, and put it into metrics.json."""
    live.step = int(row["images"])
    for name, value in _metrics(row).items():
        live.log_metric(name, value)
    live.make_summary()  # type: ignore[no-untyped-call]


def _open_board(folder: Path, images_seen: int) -> "SummaryWriter | None":
    """Continue TensorBoard's event files in `folder`; None if the extra `tensorboard` is not installed.

    Events that an interrupted run wrote after `images_seen` are marked as invalid. The files are no output of the
    stage: they contain the time of day, and so differ from run to run.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=images_seen + 1)


def _metrics(row: Row) -> Row:
    """The row without its `images`."""
    return {name: value for name, value in row.items() if name != "images"}
