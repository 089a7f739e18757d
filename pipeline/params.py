"""params.yaml: one block for each stage, validated as that stage's frozen dataclass."""

import sysconfig
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError

from pipeline.errors import FacemaskError, one_line

STRICT = ConfigDict(extra="forbid")
"""The config of every params dataclass: `@pydantic.dataclasses.dataclass(frozen=True, config=STRICT)`."""

PARAMS_FILE = Path("params.yaml")

_IN_PREFIX = Path("share/facemask") / PARAMS_FILE  # as pyproject.toml installs it

T = TypeVar("T")


def default_file() -> Path:
    """The project's own params.yaml: beside the code or, where facemask is installed from a wheel, that of the wheel.

    It is returned also where it is missing: reading it then raises FacemaskError.
    """
    beside = Path(__file__).parents[1] / PARAMS_FILE
    return beside if beside.is_file() else Path(sysconfig.get_path("data")) / _IN_PREFIX


def load(block: str, shape: type[T], path: Path = PARAMS_FILE) -> T:
    """Return one block of `path` as `shape`.

    Raises FacemaskError, naming file and key, for a missing file or block, an unknown or missing key, and a value of
    the wrong type or out of range.
    """
    return build(block, read(path, block), shape, path)


def read(path: Path, block: str) -> Any:
    """Return one block of a YAML file, not validated. Raises FacemaskError for a missing file or block."""
    blocks = parse(path)
    if not isinstance(blocks, dict) or block not in blocks:
        raise FacemaskError(f"{path} has no block '{block}': add it (the project's own params.yaml shows one)")
    return blocks[block]


def parse(path: Path) -> Any:
    """Return the content of a YAML file. Raises FacemaskError for a file that is missing or not YAML."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise FacemaskError(f"{path} cannot be read ({error.strerror}): run from the project's folder") from error
    except UnicodeDecodeError as error:
        raise FacemaskError(f"{path} is not UTF-8 text (byte {error.start + 1}): save it as UTF-8") from error
    try:
        return yaml.safe_load(text)
    except (ValueError, RecursionError) as error:  # of a value that looks like a date, say; of deep nesting
        raise FacemaskError(f"{path} is not valid YAML ({one_line(error)}): correct it, then run again") from error
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", -1) + 1
        raise FacemaskError(f"{path} is not valid YAML near line {line}: correct it, then run again") from error


def build(block: str, value: Any, shape: type[T], path: Path) -> T:
    """Return `value` as `shape`. Raises FacemaskError, naming the keys of `block` that do not fit."""
    try:
        return TypeAdapter(shape).validate_python(value)
    except ValidationError as error:
        problems = [_describe(block, problem) for problem in error.errors()]
        raise FacemaskError(f"{path}: {'; '.join(problems)}: correct it, then run again") from error


def _describe(block: str, problem: Any) -> str:
    key = ".".join([block, *(str(part) for part in problem["loc"])])
    match problem["type"]:
        case "missing" | "missing_argument":
            return f"key '{key}' is missing"
        case "extra_forbidden" | "unexpected_keyword_argument":
            return f"key '{key}' is unknown"
        case _:
            return f"'{key}' is {problem['input']!r}: {problem['msg'][0].lower()}{problem['msg'][1:]}"
