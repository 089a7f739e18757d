"""Experiments that DVC runs in a copy of the project: `dvc exp run --temp` and `--queue`.

Such a copy has what git tracks, and so nothing of data/inbox but its README. Fetched there, a source lacks the files of
the inbox; or DVC takes an earlier state of it from its run cache, of before these files came.
"""

from pathlib import Path
from typing import Any

import yaml

from pipeline.errors import FacemaskError
from pipeline.paths import Paths

_COPIES = (".dvc", "tmp", "exps")  # where DVC makes them, in the project
_TRACKED = ("README.md", ".gitignore")  # in data/inbox


def refuse_incomplete_copy(stage: str, folder: Path) -> None:
    """Raise FacemaskError in a copy of a project with files in data/inbox, unless the copy has the same data/raw.

    `stage` is the kind of stage that is about to run in `folder`. Stage `fetch` is always refused there.
    """
    if (project := _project_of(folder)) is None or not _has_inbox(Paths(project).inbox):
        return
    if stage == "fetch" or _fetched(folder) != _fetched(project):
        raise FacemaskError(
            f"an experiment in a temporary folder does not see {Paths(project).inbox}: run 'dvc exp run' without "
            "--temp and --queue, or add --single-item and a stage, as train, to use the data that is fetched"
        )


def _project_of(folder: Path) -> Path | None:
    """The project of which `folder` is a copy that DVC made; None if it is none."""
    parts = folder.absolute().parts
    for start in range(len(parts) - len(_COPIES)):
        if parts[start : start + len(_COPIES)] == _COPIES:
            return Path(*parts[:start])
    return None


def _has_inbox(inbox: Path) -> bool:
    return inbox.is_dir() and any(entry.name not in _TRACKED for entry in inbox.iterdir())


def _fetched(project: Path) -> dict[str, Any]:
    """The outputs of each stage `fetch` in a project's dvc.lock, with their digests."""
    try:
        stages = (yaml.safe_load((project / "dvc.lock").read_text(encoding="utf-8")) or {}).get("stages", {})
    except FileNotFoundError:
        return {}
    return {name: stage.get("outs") for name, stage in stages.items() if name.startswith("fetch@")}
