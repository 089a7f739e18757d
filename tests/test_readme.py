"""The README keeps its word: what it names is there."""

import re
import subprocess

import pandas as pd
import pytest

from tests.conftest import ROOT, inside

README = (ROOT / "README.md").read_text()


def code_blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("package", ["flows", "pipeline", "models", "benchmarks"])
def test_the_map_names_every_module(package):
    room = README.partition(f"\n{package}/ ")[2].partition("\n```")[0]
    modules = [path.relative_to(ROOT / package) for path in (ROOT / package).rglob("*.py") if path.read_text().strip()]
    unnamed = [path.as_posix() for path in modules if f"  {path.as_posix()} " not in room]
    assert [path for path in unnamed if path != "__init__.py"] == []


def test_every_make_target_named_exists():
    targets = set(re.findall(r"(?:^|`)make (\w+)", README, re.MULTILINE))
    defined = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"demo", "test"} <= targets <= defined


def test_every_file_linked_exists():
    links = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    assert links and [link for link in links if not (ROOT / link).exists()] == []


def test_the_pandas_lines_run(sample_workspace):
    (lines,) = code_blocks("python")
    with inside(sample_workspace):
        names = {}
        exec(lines, names)
    assert isinstance(names["m"], pd.DataFrame)


def test_facemask_s_commands_are_as_written():
    from flows.cli import parser

    words = [
        line.split()[1:] for block in code_blocks("") for line in block.splitlines() if line.startswith("facemask ")
    ]
    assert words
    for arguments in words:
        parser().parse_args(arguments)


def test_nothing_of_git_s_is_too_large():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    large = [name for name in listed.split("\0") if name and (ROOT / name).stat().st_size > 2_000_000]
    assert large == []
