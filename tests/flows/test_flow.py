"""The flow under real Prefect servers: started for one run, and by `facemask up`."""

import json
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from flows.local_server.api import Api
from flows.local_server.server import api_url, free_port, is_healthy, port_is_free
from flows.processes.guard import guarded
from tests.flows.conftest import PROGRAMS, ROOT, add_stage, api_of, failing, is_running, python, start_up, wait_for


def states(api: Api) -> list[tuple[str, str]]:
    """State name and message of every flow run that has started, the oldest first."""
    query = {"flow_runs": {"state": {"type": {"not_any_": ["SCHEDULED"]}}}, "sort": "EXPECTED_START_TIME_ASC"}
    return [(run["state"]["name"], run["state"]["message"] or "") for run in api.post("/flow_runs/filter", query)]


@contextmanager
def server(folder: Path, env: dict[str, str]) -> Iterator[Api]:
    """A server on the database of `env`, for looking at it."""
    port = free_port()
    command = [sys.executable, "-m", "prefect", "server", "start", "--port", str(port)]
    with guarded(command, folder, {**env, "PREFECT_PLUGINS_ENABLED": "false"}, subprocess.DEVNULL):
        wait_for(lambda: is_healthy(api_url(port)), "the server answers")
        yield Api(api_url(port), None)


def test_a_run_does_all_stages_and_names_the_one_that_failed(toy, prefect_env):
    # No server has the address that pyproject.toml names for the `prefect` command: it is not used here.
    (toy / "pyproject.toml").write_text(f'[tool.prefect]\napi.url = "{api_url(free_port())}"\n')
    good = python("-m", "flows.local_server.run", cwd=toy, env=prefect_env)
    assert good.returncode == 0, good.stdout
    assert "stage 1 of 4: fetch@one" in good.stdout
    assert re.search(r"^facemask: done in \d+:\d\d$", good.stdout, re.MULTILINE)
    assert "Traceback" not in good.stdout

    add_stage(toy, "train", failing("no faces in data/train: curate first"))
    bad = python("-m", "flows.local_server.run", cwd=toy, env=prefect_env)
    assert bad.returncode == 1
    assert "Traceback" not in bad.stdout
    assert bad.stdout.rstrip().endswith("facemask: error: stage 'train' failed: no faces in data/train: curate first")
    assert "attempt 2" not in bad.stdout  # only the user can correct it
    with server(toy, prefect_env) as api:
        first, second = states(api)
    assert first[0] == "Completed"
    assert second[0] == "Failed"
    assert "stage 'train' failed: no faces in data/train: curate first" in second[1]
    assert (toy / "ran.log").read_text().split() == ["one", "two", "curate", "evaluate"]


def test_up_serves_the_deployment_and_stops_all_that_it_started(toy, prefect_env):
    port = free_port()
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["prefect"]
    plugins = "\n".join(f"plugins.{key} = {json.dumps(value)}" for key, value in settings["plugins"].items())
    (toy / "pyproject.toml").write_text(f'[tool.prefect]\napi.url = "{api_url(port)}"\n{plugins}\n')
    add_stage(toy, "train", "import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(3600)")
    log = toy / "up.log"
    up = start_up(toy, prefect_env, log, "--port", str(port))
    try:
        typed = [str(PROGRAMS / "prefect"), "deployment", "run", "curate-and-train"]
        assert " ".join(typed[1:]) in log.read_text()
        assert "PREFECT_API_URL=" not in log.read_text().partition("second terminal")[2].partition("\n")[0]

        done = subprocess.run(
            [*typed, "--param", 'stages=["fetch", "curate", "evaluate"]', "--watch"],
            cwd=toy, env=prefect_env, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr + log.read_text()
        api = api_of(toy)
        assert [state for state, _ in states(api)] == ["Completed"]
        artifacts = {artifact["key"]: artifact["type"] for artifact in api.post("/artifacts/filter", {})}
        assert artifacts == {"rejections": "table", "samples": "image"}
        tasks = [task["name"] for task in api.post("/task_runs/filter", {"sort": "EXPECTED_START_TIME_ASC"})]
        assert tasks == ["fetch@one", "fetch@two", "curate", "evaluate"]
        lines = [line["message"] for line in api.post("/logs/filter", {})]
        assert lines.count("> cp manifest model && echo evaluate >> ran.log") == 1
        (deployment,) = api.post("/deployments/filter", {"deployments": {"name": {"any_": ["curate-and-train"]}}})
        assert [(plan["slug"], plan["active"]) for plan in deployment["schedules"]] == [("weekly", False)]

        # The whole flow: `train` sleeps until `facemask up` is stopped.
        assert subprocess.run(typed, cwd=toy, env=prefect_env, capture_output=True).returncode == 0
        wait_for(lambda: (toy / "pid").is_file() and (toy / "pid").read_text(), "the stage starts")
    finally:
        up.send_signal(signal.SIGINT)
        up.wait()
    assert up.returncode == 0, log.read_text()
    assert not is_running(int((toy / "pid").read_text()))
    assert not others_in(toy)
    assert port_is_free(port)
    with server(toy, prefect_env) as api:
        assert [state for state, _ in states(api)] == ["Completed", "Crashed"]


def others_in(folder: Path) -> list[list[str]]:
    """The command lines of processes with `folder` as their current folder."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.cwd() == str(folder) and is_running(process.pid):
                found.append(process.cmdline())
    return found
