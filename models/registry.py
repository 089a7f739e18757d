"""The models that were trained here: which there are, what they can do, and which of them is promoted.

    registry/models.json   all of them, in the order they came; git tracks it
    registry/NAME.dvc      DVC's pointer to one's weights; git tracks it
    registry/NAME/         the weights, as `dvc checkout registry/NAME.dvc` or `dvc pull registry/NAME.dvc` brings them

A file, and not DVC artifacts under tags in git, as GTO makes them: a tag names a commit, and a run on schedule would
have to commit whatever the user has half done in this checkout; and DVC keeps what tags name only where every `dvc gc`
is given --all-tags. A pointer that lies in the workspace is kept by each `dvc gc`, comes with a plain `dvc pull`, and
git's history of models.json says who promoted what and when. A run writes both files and commits nothing.
"""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.errors import FacemaskError
from pipeline.storage.files import write_json

REGISTRY = Path("registry")
JUDGED = "judged.json"  # in work/: what the promoted model makes of today's test faces
SCHEMA = 1


@dataclass(frozen=True)
class Model:
    """One trained model."""

    name: str
    registered: str  # UTC, ISO 8601
    checkpoint: str  # sha256 of its checkpoint.json
    started_from: str | None  # the model whose weights its training began with
    images_seen: int  # a domain
    data: str  # sha256 of pack.json: the packed images that it was trained on
    split: dict[str, Any]  # curate.split at that time: which persons are test persons
    basis: str  # digest of all that `figures` stand on beside the model: test faces, gate, the evaluation's code
    figures: dict[str, Any]  # evaluation.json, of the last time that it was evaluated
    verdict: str  # why it was promoted, or not


@dataclass(frozen=True)
class Registry:
    promoted: str | None
    models: tuple[Model, ...]

    def find(self, name: str) -> Model:
        """Raises FacemaskError for a name that it does not have."""
        for model in self.models:
            if model.name == name:
                return model
        known = ", ".join(model.name for model in self.models)
        raise FacemaskError(f"{REGISTRY}/models.json has no model '{name}': it has {known or 'none yet'}")

    def next_name(self) -> str:
        """Never one that was used: a model that is taken out by hand leaves its number empty."""
        return f"v{max((int(model.name[1:]) for model in self.models), default=0) + 1}"

    def with_model(self, model: Model) -> "Registry":
        """With `model` added, or in the place of the one that has its name."""
        if all(known.name != model.name for known in self.models):
            return replace(self, models=(*self.models, model))
        return replace(self, models=tuple(model if known.name == model.name else known for known in self.models))


def read(folder: Path = REGISTRY) -> Registry:
    """The registry; an empty one where no model was registered yet."""
    path = folder / "models.json"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["schema"] != SCHEMA:
            raise FacemaskError(f"{path} has schema {values['schema']}, not {SCHEMA}: use the facemask that wrote it")
        return Registry(values["promoted"], tuple(Model(**model) for model in values["models"]))
    except FileNotFoundError:
        return Registry(None, ())
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FacemaskError(f"{path} cannot be read ({error}): restore it from git ('git checkout {path}')") from error


def write(registry: Registry, folder: Path = REGISTRY) -> None:
    values = {"schema": SCHEMA, "promoted": registry.promoted, "models": [asdict(model) for model in registry.models]}
    write_json(folder / "models.json", values)


def weights(name: str, folder: Path = REGISTRY) -> Path:
    """The folder with a model's weights. Raises FacemaskError where they are not here."""
    path = folder / name
    if not (path / "checkpoint.json").is_file():
        raise FacemaskError(f"the weights of model {name} are not here: bring them by 'dvc pull {path}.dvc'")
    return path
