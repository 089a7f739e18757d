"""The installed command, which in a project runs the project's own code."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flows import entry
from pipeline.version import VERSION
from tests.flows.conftest import ROOT
from tests.flows.test_cli import COMMANDS

# As the script that pip makes, which has its own folder first on the path, and not the current one.
SCRIPT = "from flows.entry import main\nmain()\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of version 0.0.1: the code of this one, with a command line that tells where it is."""
    folder = tmp_path / "project"
    for package in ("flows", "pipeline"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "dvc.yaml").touch()
    (folder / "pipeline/version.py").write_text('VERSION = "0.0.1"\n')
    told = "import pipeline.version\n\ndef main():\n    print(__file__, pipeline.version.__file__)\n"
    (folder / "flows/cli/__init__.py").write_text(told)
    return folder


def facemask(folder: Path, *arguments: str) -> str:
    """Standard output and errors of the installed command in `folder`."""
    script = folder.parent / "bin/facemask"
    script.parent.mkdir(exist_ok=True)
    script.write_text(SCRIPT)
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, script, *arguments]
    done = subprocess.run(command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.stdout


def test_of_a_command_of_a_project_all_code_is_the_project_s_and_another_version_is_told(project):
    first, second = facemask(project, "status").splitlines()
    assert (
        first == f"facemask: this project has facemask 0.0.1, and {VERSION} is installed: 'facemask init .' updates it"
    )
    assert second == f"{project}/flows/cli/__init__.py {project}/pipeline/version.py"


@pytest.mark.parametrize("command", sorted(set(COMMANDS) - {*entry._OF_A_PROJECT}))
def test_a_command_for_what_others_sent_runs_no_code_of_the_current_folder(project, command):
    assert f"usage: facemask {command}" in facemask(project, command, "--help")


def test_outside_a_project_the_installed_code_runs(tmp_path):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    assert facemask(folder, "--version") == f"facemask {VERSION}\n"


def test_a_project_of_the_same_version_is_no_reason_for_a_line(project):
    (project / "pipeline/version.py").write_text(f'VERSION = "{VERSION}"\n')
    assert len(facemask(project, "status").splitlines()) == 1


def test_a_project_of_a_newer_version_needs_that_version(project):
    (project / "pipeline/version.py").write_text('VERSION = "99.0.0"\n')
    assert facemask(project, "status").splitlines()[0].endswith(f"and {VERSION} is installed: install 99.0.0")
