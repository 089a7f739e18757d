"""Which checkpoint a command uses: a folder, a model's name, the promoted model, or none, where it draws.

A warning names the promoted model where another one is used.
"""

import sys
from pathlib import Path

from flows.promotion import bring_weights
from models import registry
from models.registry import DRAWING, PROMOTED, Registry
from pipeline.errors import FacemaskError
from pipeline.paths import CHECKPOINT_JSON
from pipeline.storage.files import sha256


def find_checkpoint(name: Path | None) -> Path:
    """The folder of the checkpoint `name`: a folder, a model of the registry, or `promoted`, as None.

    The weights of a model are checked out of DVC's cache if need be. A folder is not verified. Raises FacemaskError for
    an unknown name, and where no model is promoted.
    """
    if name is not None and name.exists():
        return name
    known = registry.read()
    wanted = PROMOTED if name is None else str(name)
    if wanted == DRAWING:
        raise FacemaskError(f"a model is needed here, and '{DRAWING}' stands for none: {models_text(known)}")
    if wanted == PROMOTED and known.promoted is None:
        raise FacemaskError(
            "no model is promoted in this folder: train one ('facemask run'), or name a checkpoint's folder"
        )
    if wanted not in _names(known):
        raise FacemaskError(f"{name} is neither a folder nor a model: {models_text(known)}")
    return bring_weights(known.promoted if wanted == PROMOTED and known.promoted else wanted)


def is_checkpoint(path: Path) -> bool:
    """Whether `path` names a checkpoint: by its folder, or as a model's name where there is no file of that name."""
    return (path / CHECKPOINT_JSON).is_file() or (not path.exists() and str(path) in _names(registry.read()))


def is_drawing(path: Path) -> bool:
    """Whether `path` is the name `drawing`, and no file."""
    return str(path) == DRAWING and not path.exists()


def models_text(known: Registry) -> str:
    """Which models can be named, for an error."""
    return f"the models here are {', '.join(_names(known))}" if known.models else "there is no model here yet"


def unpromoted_warning(folder: Path) -> str | None:
    """A sentence where `folder` holds a model of the registry, but not the promoted one; None otherwise."""
    known = registry.read()
    if known.promoted is None or not (folder / CHECKPOINT_JSON).is_file():
        return None
    digest = sha256(folder / CHECKPOINT_JSON)
    found = next((model for model in known.models if model.checkpoint == digest), None)
    if found is None or found.name == known.promoted:
        return None
    return (
        f"{folder} is model {found.name}, and {known.promoted} is the promoted one ({found.name}: {found.verdict}): "
        f"'{known.promoted}' in place of '{folder}' uses it"
    )


def choose_checkpoint(name: Path | None) -> Path:
    """find_checkpoint, with a line on stdout that names the promoted model, or warns of another one."""
    folder = find_checkpoint(name)
    if name is None or str(name) == PROMOTED:
        print(f"facemask: using the promoted model, {folder.name}", flush=True)
    elif warning := unpromoted_warning(folder):
        print(f"facemask: warning: {warning}", file=sys.stderr, flush=True)
    return folder


def checkpoint_or_drawing(name: Path | None) -> Path | None:
    """choose_checkpoint; None, where masks and lower faces are drawn: by the name `drawing`, or without a name where no
    model is promoted.
    """
    if name is None and registry.read().promoted is None:
        return None
    return None if name is not None and is_drawing(name) else choose_checkpoint(name)


def _names(known: Registry) -> list[str]:
    return [*(model.name for model in known.models), PROMOTED]
