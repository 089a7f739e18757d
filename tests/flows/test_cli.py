"""The command line of `facemask`."""

import json
import re
import socket
import sys

import pytest

from flows.cli import main, parser
from pipeline.version import VERSION
from tests.flows.conftest import ROOT, python

COMMANDS = [
    "init",
    "up",
    "status",
    "down",
    "run",
    "fetch",
    "curate",
    "review",
    "export-data",
    "apply",
    "app",
    "models",
    "export",
    "sample",
    "survey",
]


def test_without_a_command_the_help_lists_every_command(capsys):
    main([])
    assert re.findall(r"^    ([a-z-]+)\s", capsys.readouterr().out, re.MULTILINE) == COMMANDS


def test_the_command_line_loads_nothing_heavy():
    loaded = python("-c", "import sys, json, flows.cli; print(json.dumps(list(sys.modules)))", cwd=ROOT)
    heavy = {"prefect", "torch", "cv2", "mediapipe", "pandas", "dvc"}
    assert heavy.isdisjoint(json.loads(loaded.stdout))


def test_the_status_is_shown_without_loading_prefect():
    loaded = python("-c", "import sys, flows.local_server.status; print('prefect' in sys.modules)", cwd=ROOT)
    assert loaded.stdout == "False\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_each_commands_help_has_an_example(command, capsys):
    with pytest.raises(SystemExit) as ended:
        parser().parse_args([command, "--help"])
    assert ended.value.code == 0
    assert f"example:\n  facemask {command}" in capsys.readouterr().out


def test_a_misspelt_command_is_refused_with_the_one_that_was_meant(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["facemask", "stauts"])
    with pytest.raises(SystemExit) as ended:
        main(None)
    assert ended.value.code == 2
    assert capsys.readouterr().err.rstrip().endswith("did you mean 'status'?")


def test_a_misspelt_stage_is_refused_before_a_server_starts(toy, prefect_env):
    done = python("-m", "flows.cli", "run", "evalute", cwd=toy, env=prefect_env)
    assert done.returncode == 1
    assert done.stdout.startswith("facemask: error: dvc.yaml has no stage 'evalute': did you mean 'evaluate'? it has ")
    assert done.stdout.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["fetch", "maskedfaces"], "no source 'maskedfaces': did you mean 'maskedface'?"),
        (["models", "--promote", "v"], "has no model 'v': it has none yet"),
    ],
)
def test_a_misspelt_source_or_model_is_refused_with_those_that_are_there(monkeypatch, tmp_path, arguments, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert said in str(ended.value)


def test_the_version_is_that_of_the_code(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"facemask {VERSION}\n"


@pytest.mark.parametrize("command", ["run", "up"])
def test_outside_a_workspace_the_error_is_one_line(command, tmp_path):
    done = python(
        "-c",
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); import flows.cli; flows.cli.main(['{command}'])",
        cwd=tmp_path,
    )
    assert done.returncode == 1
    assert done.stdout.count("\n") == 1
    assert done.stdout.startswith("facemask: error: no ")
    assert "run this in the project's folder" in done.stdout


def test_a_port_in_use_is_one_line_that_names_another(toy, prefect_env):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = python("-m", "flows.cli", "up", "--port", str(port), cwd=toy, env=prefect_env)
    assert done.returncode == 1
    assert done.stdout.startswith(f"facemask: error: port {port} on 127.0.0.1 is in use")
    assert done.stdout.count("\n") == 1


def test_curate_passes_its_options_on(monkeypatch, tmp_path, capsys):
    calls = []

    class Folder:
        @staticmethod
        def curate_folder(*arguments):
            calls.append(arguments)
            return tmp_path / "index.html"

    monkeypatch.setitem(sys.modules, "pipeline.tools.curate_folder", Folder)
    main(["curate", "faces", "--out", "there", "--domain", "masked"])
    assert [str(part) for part in calls[0]] == ["faces", "there", "masked", "None"]
    assert str(tmp_path / "index.html") in capsys.readouterr().out
