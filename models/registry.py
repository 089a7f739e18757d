"""The registry: the models that were trained here, their metrics, and which of them is promoted.

    registry/models.json   all models, oldest first; tracked by git
    registry/NAME.dvc      DVC's pointer to the weights of one model; tracked by git
    registry/NAME/         the weights, once `dvc checkout registry/NAME.dvc` or `dvc pull registry/NAME.dvc` has run

It is a file, not DVC artifacts under git tags as GTO makes them. A tag names a commit, so a scheduled run would have to
commit the user's unfinished changes; and `dvc gc` keeps tagged files only with --all-tags. A pointer in the workspace
survives every `dvc gc` and comes with a `dvc pull`, and git's history of models.json records who promoted what and
when. A run writes both files and commits nothing.
"""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from models import evaluation_report
from models.evaluation_report import Evaluation
from pipeline.errors import FacemaskError, choose_from
from pipeline.paths import CHECKPOINT_JSON, MODELS_JSON
from pipeline.storage.files import write_json

REGISTRY = Path("registry")
PROMOTED = "promoted"
"""The name of the promoted model, whichever it is."""
DRAWING = "drawing"
"""The name of what needs no model: masks and lower faces are drawn."""
PROMOTED_EVALUATION = "promoted-evaluation.json"
"""The file in work/ with the evaluation of the promoted model on today's test faces."""

SCHEMA = 2
_RENAMED = {"basis": "evaluation_id", "figures": "metrics"}  # keys of a model in schema 1 -> in schema 2


@dataclass(frozen=True)
class Model:
    """One trained model."""

    name: str
    registered: str  # UTC, ISO 8601
    checkpoint: str  # sha256 of its checkpoint.json
    started_from: str | None  # the model that its training started from
    images_seen: int  # a domain
    data: str  # sha256 of pack.json: the packed images that it was trained on
    split: dict[str, Any]  # curate.split at that time, which decides who the test persons are
    evaluation_id: str  # digest of everything but the model that `metrics` depend on: test faces, limits, code
    metrics: Evaluation  # the latest evaluation
    verdict: str  # why it was promoted, or not


@dataclass(frozen=True)
class Registry:
    """The content of models.json."""

    promoted: str | None
    models: tuple[Model, ...]

    def find(self, name: str) -> Model:
        """The model `name`. Raises FacemaskError if there is none."""
        for model in self.models:
            if model.name == name:
                return model
        known = [model.name for model in self.models]
        raise FacemaskError(f"{REGISTRY}/models.json has no model '{name}': {choose_from(name, known)}")

    def next_name(self) -> str:
        """The next number after the highest, so that the number of a removed older model is not used again."""
        return f"v{max((int(model.name[1:]) for model in self.models), default=0) + 1}"

    def with_model(self, model: Model) -> "Registry":
        """A registry in which `model` is added, or replaces the model of the same name."""
        if all(known.name != model.name for known in self.models):
            return replace(self, models=(*self.models, model))
        return replace(self, models=tuple(model if known.name == model.name else known for known in self.models))


def read(folder: Path = REGISTRY) -> Registry:
    """The registry in `folder`; an empty one where no model is registered yet. Reads schema 1 too.

    Raises FacemaskError for a file that is not a registry, or has a newer schema.
    """
    path = folder / MODELS_JSON
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["schema"] not in (1, SCHEMA):
            raise FacemaskError(f"{path} has schema {values['schema']}, not {SCHEMA}: use the facemask that wrote it")
        return Registry(values["promoted"], tuple(_model(model) for model in values["models"]))
    except FileNotFoundError:
        return Registry(None, ())
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise FacemaskError(f"{path} cannot be read ({error}): restore it from git ('git checkout {path}')") from error


def _model(values: dict[str, Any]) -> Model:
    renamed = {_RENAMED.get(key, key): value for key, value in values.items()}
    return Model(**renamed | {"metrics": evaluation_report.parse(renamed["metrics"])})


def write(registry: Registry, folder: Path = REGISTRY) -> None:
    """Write models.json into `folder`."""
    models = [asdict(model) | {"metrics": model.metrics.as_json()} for model in registry.models]
    write_json(folder / MODELS_JSON, {"schema": SCHEMA, "promoted": registry.promoted, "models": models})


def create(folder: Path = REGISTRY) -> None:
    """Write an empty registry where there is none: DVC runs no stage of which a dependency is missing."""
    if not (folder / MODELS_JSON).exists():
        write(Registry(None, ()), folder)


def weights(name: str, folder: Path = REGISTRY) -> Path:
    """The folder with a model's weights. Raises FacemaskError if they are not in this workspace."""
    path = folder / name
    if not (path / CHECKPOINT_JSON).is_file():
        raise FacemaskError(f"the weights of model {name} are not in {path}: run 'dvc pull {path}.dvc'")
    return path
