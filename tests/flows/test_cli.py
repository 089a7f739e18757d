"""The `facemask` command's face."""

import json
import re
import socket
import sys

import pytest

from flows.cli import parser
from tests.flows.conftest import ROOT, python

COMMANDS = [
    "up",
    "status",
    "down",
    "models",
    "run",
    "fetch",
    "curate",
    "review",
    "apply",
    "app",
    "export-data",
    "export",
]


def test_every_command_is_known_here(capsys):
    with pytest.raises(SystemExit):
        parser().parse_args(["--help"])
    assert re.findall(r"^    ([a-z-]+)\s", capsys.readouterr().out, re.MULTILINE) == COMMANDS


def test_the_command_line_loads_nothing_heavy():
    loaded = python("-c", "import sys, json, flows.cli; print(json.dumps(list(sys.modules)))", cwd=ROOT)
    heavy = {"prefect", "torch", "cv2", "mediapipe", "pandas", "dvc"}
    assert heavy.isdisjoint(json.loads(loaded.stdout))


@pytest.mark.parametrize("command", COMMANDS)
def test_each_commands_help_has_an_example(command, capsys):
    with pytest.raises(SystemExit) as ended:
        parser().parse_args([command, "--help"])
    assert ended.value.code == 0
    assert f"example:\n  facemask {command}" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["run", "up"])
def test_outside_a_workspace_one_line_says_so(command, tmp_path):
    told = python(
        "-c",
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); import flows.cli; flows.cli.main(['{command}'])",
        cwd=tmp_path,
    )
    assert told.returncode == 1
    assert told.stdout.count("\n") == 1
    assert told.stdout.startswith("facemask: error: no ")
    assert "run this in the project's folder" in told.stdout


def test_a_port_in_use_is_told_with_the_way_out(toy, prefect_env):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        told = python("-m", "flows.cli", "up", "--port", str(port), cwd=toy, env=prefect_env)
    assert told.returncode == 1
    assert told.stdout.startswith(f"facemask: error: port {port} on 127.0.0.1 is in use")
    assert told.stdout.count("\n") == 1


def test_curate_hands_its_options_on(monkeypatch, tmp_path, capsys):
    from flows import cli

    calls = []

    class Folder:
        @staticmethod
        def curate_folder(*arguments):
            calls.append(arguments)
            return tmp_path / "index.html"

    monkeypatch.setitem(sys.modules, "pipeline.tools.curate_folder", Folder)
    cli.main(["curate", "faces", "--out", "there", "--domain", "masked"])
    assert [str(part) for part in calls[0]] == ["faces", "there", "masked", "None"]
    assert str(tmp_path / "index.html") in capsys.readouterr().out
