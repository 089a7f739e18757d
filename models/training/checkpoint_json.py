"""Validates checkpoint.json, which may come from anywhere, before anything is allocated for what it describes."""

from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from pydantic import BaseModel, TypeAdapter, ValidationError, create_model

from models.params import TrainParams
from pipeline.errors import FacemaskError

_KEYS = ("image_px", "width", "blocks", "discriminator_width")  # of `train`: they decide how much is allocated

Shape = TypeVar("Shape")


def _architecture_model() -> type[BaseModel]:
    """A model of _KEYS with the types and bounds that params.yaml has; other keys are ignored."""
    hints = get_type_hints(TrainParams, include_extras=True)
    return create_model("Architecture", **{key: (hints[key], ...) for key in _KEYS})  # type: ignore[call-overload, no-any-return]


_ARCHITECTURE = TypeAdapter(_architecture_model())


def parse_checkpoint_json(values: Any, shape: type[Shape], path: Path) -> Shape:
    """The content of the JSON file `path` as the dataclass `shape`, which has a field `params`.

    Raises FacemaskError for missing keys, wrong types, and an architecture outside the bounds of params.yaml.
    """
    try:
        info = TypeAdapter(shape).validate_python(values)
    except ValidationError as error:
        raise _refusal(path, (), error) from error
    check_architecture(values["params"], path)
    return info


def check_architecture(params: dict[str, Any], path: Path) -> None:
    """Raise FacemaskError if `params` lacks one of these keys, or has one outside the bounds of params.yaml."""
    try:
        _ARCHITECTURE.validate_python(params)
    except ValidationError as error:
        raise _refusal(path, ("params",), error) from error


def _refusal(path: Path, within: tuple[str, ...], error: ValidationError) -> FacemaskError:
    problem = error.errors(include_url=False)[0]
    key = ".".join([*within, *map(str, problem["loc"])]) or "the file"
    return FacemaskError(f"{path} does not describe a checkpoint ({key}: {problem['msg']}): restore it, or train again")
