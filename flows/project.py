"""The files of a project: a folder with its own git and DVC repository, parameters, settings and copy of the code.

The code is copied because each stage in dvc.yaml depends on the files of code that it imports: DVC runs it again where
they changed. `facemask init` and `make demo` make such folders.
"""

import os
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from pipeline.errors import FacemaskError

CODE = Path(__file__).resolve().parents[1]
"""The folder with the packages that run."""
PACKAGES = ("facemask", "flows", "models", "pipeline")

# Beside the packages in a clone; a wheel installs them into share/facemask (pyproject.toml lists them there).
_FILES = (
    *("dvc.yaml", "params.yaml", "prefect.yaml", ".dvcignore", ".gitignore", ".dvc/config", ".dvc/.gitignore"),
    "data/inbox/README.md",
)
MADE_BY_PEOPLE = ("data/review.csv", "data/survey.json")
"""Files that people's choices change, and no stage."""
_MADE = {
    "data/review.csv": b"image_id,review,note\n",  # not those of a clone, which has its user's reviews and votes
    "data/survey.json": b"{}\n",
    **dict.fromkeys(("data/inbox/ffhq/.gitkeep", "data/inbox/maskedface/.gitkeep"), b""),  # git keeps no empty folder
}

# The user's own settings must not make commits ask for a key, run hooks or change line ends.
_GIT = ("git", "-c", "commit.gpgsign=false", "-c", "core.hooksPath=/dev/null", "-c", "core.autocrlf=false")


def project_files(code: Path, files: Path) -> dict[str, bytes]:
    """Return path and content of all files of a new project: packages of the folder `code`, others of `files`.

    Raises FacemaskError where one is missing.
    """
    sources = {path.relative_to(code): path for package in PACKAGES for path in _code_files(code / package)}
    sources |= {path.relative_to(files): path for path in sorted((files / "experiments").glob("*.yaml"))}
    sources |= {Path(name): files / name for name in _FILES}
    try:
        contents = {name.as_posix(): path.read_bytes() for name, path in sources.items()}
        contents["prefect.toml"] = prefect_settings((files / "pyproject.toml").read_text(encoding="utf-8")).encode()
    except FileNotFoundError as error:
        raise FacemaskError(f"{error.filename} is missing: install facemask again, in a virtual environment") from error
    return contents | _MADE


def is_code(name: str) -> bool:
    """Whether a file of a project is code, not a setting; dvc.yaml is, because it lists the files of code."""
    return name.split("/")[0] in PACKAGES or name == "dvc.yaml"


def prefect_settings(pyproject: str) -> str:
    """Return prefect.toml: the table `tool.prefect` of the text of pyproject.toml. Prefect reads either file."""
    _, _, table = pyproject.partition("[tool.prefect]")
    settings, _, _ = table.partition("\n[")
    return settings.strip() + "\n"


def write_files(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write files into `folder`, each whole or not at all; one that has its content already is not touched."""
    for name, content in contents.items():
        path = folder / name
        if not path.is_file() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            beside = path.with_name(f".{path.name}.new")
            beside.write_bytes(content)
            beside.replace(path)


def git(folder: Path, *arguments: str) -> str:
    """Return the output of a git command in `folder`. Raises FacemaskError if it fails."""
    done = try_git(folder, *arguments)
    if done.returncode:
        last = (done.stderr.strip() or "no output").splitlines()[-1]
        name = next(argument for argument in arguments if argument != "-c" and "=" not in argument)
        raise FacemaskError(f"'git {name}' failed in {folder}: {last}")
    return done.stdout


def try_git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a git command in `folder`, which may fail. Raises FacemaskError where git is not installed."""
    # Without what a git hook sets, which would lead git to the repository that the hook runs in.
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        return subprocess.run([*_GIT, *arguments], cwd=folder, env=env, capture_output=True, encoding="utf-8")
    except FileNotFoundError as error:
        raise FacemaskError("git is not installed: install it (as 'apt-get install -y git')") from error


def _code_files(package: Path) -> Iterable[Path]:
    found = (path for path in sorted(package.rglob("*")) if path.is_file() and "__pycache__" not in path.parts)
    return (path for path in found if not path.name.startswith("."))  # as `.x.new`, which a killed process left
