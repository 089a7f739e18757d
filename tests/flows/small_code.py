"""A small installation: the files from which `facemask init` and `make demo` make a project, each of a line."""

import subprocess
from pathlib import Path

from flows import project

SETTINGS = {
    **dict.fromkeys(project._FILES, ""),
    ".gitignore": "/demo/\n/data/*\nwork/\n!/data/review.csv\n!/data/inbox/\n",
    "params.yaml": "curate:\n  min_px: 1\n",
    "experiments/none.yaml": "{}\n",
}
CODE = {
    "facemask/d.py": "4\n",
    "flows/demo_params.yaml": "demo: 1\n",
    "flows/a.py": "1\n",
    "models/c.py": "3\n",
    "pipeline/b.py": "2\n",
}
MADE = {*project._MADE, "prefect.toml", "registry/models.json"}
"""Files of a project that are not copies."""
PYPROJECT = '[project]\nname = "x"\n\n[tool.prefect]  # a comment\napi.url = "here"\n\n[tool.other]\na = 1\n'


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false", *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout
