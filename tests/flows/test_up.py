"""`facemask up` started again after it was killed during a run, as its clients see it."""

import json
import signal
import stat
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from flows.local_server.api import Api
from flows.local_server.orphans import RULE, watch_heartbeats
from flows.local_server.server import api_url, free_port
from tests.flows.conftest import (
    PROGRAMS,
    add_stage,
    api_of,
    asking,
    clean_env,
    is_running,
    make_toy,
    python,
    start_up,
    wait_for,
)


@dataclass
class Up:
    toy: Path
    port: int
    env: dict[str, str]
    output: Path  # of the second start
    stage: int  # pid of the stage that ran when the first one was killed

    @property
    def log(self) -> str:
        """What it has printed until now."""
        return self.output.read_text()

    def password(self) -> str:
        return (self.toy / "work" / "prefect-password").read_text().strip()

    def api(self) -> Api:
        return api_of(self.toy)


def run_deployment(toy: Path, env: dict[str, str], *more: str) -> subprocess.CompletedProcess[str]:
    typed = [str(PROGRAMS / "prefect"), "deployment", "run", "curate-and-train/curate-and-train", *more]
    return subprocess.run(typed, cwd=toy, env=env, capture_output=True, text=True)


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    folder = tmp_path_factory.mktemp("up")
    toy, env, port = make_toy(folder / "toy"), clean_env(folder), free_port()
    env.pop("FACEMASK_WORK", None)
    add_stage(toy, "train", "import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(3600)")
    first = start_up(toy, env, folder / "first.log", "--port", str(port))
    try:
        done = run_deployment(toy, asking(toy, env))
        assert done.returncode == 0, done.stdout + done.stderr
        wait_for(lambda: (toy / "pid").is_file() and (toy / "pid").read_text(), "the stage starts")
    finally:
        first.send_signal(signal.SIGKILL)
        first.wait()
    second = start_up(toy, env, folder / "second.log", "--port", str(port))
    try:
        yield Up(toy, port, env, folder / "second.log", int((toy / "pid").read_text()))
        down = python("-m", "flows.cli", "down", cwd=toy, env=env)
        assert down.stdout.startswith(f"facemask: stopped (pid {second.pid})"), down.stdout
        assert second.wait() == 0
    finally:
        second.kill()


def status_of(url: str, **headers: str) -> int:
    request = urllib.request.Request(url, headers=headers, method="OPTIONS" if "Origin" in headers else "GET")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_the_stage_of_the_killed_one_has_ended(up):
    assert not is_running(up.stage)


def test_its_run_is_marked_crashed_and_named(up):
    runs = up.api().post("/flow_runs/filter", {"flow_runs": {"state": {"type": {"any_": ["CRASHED"]}}}})
    assert len(runs) == 1
    assert f"run {runs[0]['name']} had lost its process: marked Crashed" in up.log


def test_the_slot_is_free_again(up):
    done = run_deployment(up.toy, asking(up.toy, up.env), "--watch", "--param", 'stages=["fetch"]')
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_heartbeat_rule_is_made_once(up):
    watch_heartbeats(up.api())
    assert len(up.api().post("/automations/filter", {"automations": {"name": {"any_": [RULE]}}})) == 1


def test_status_shows_server_worker_runs_and_schedule(up):
    shown = python("-m", "flows.cli", "status", cwd=up.toy, env=up.env)
    assert shown.returncode == 0
    assert f"facemask: up at http://127.0.0.1:{up.port} for " in shown.stdout
    assert "cpu: 1 online" in shown.stdout
    assert "Crashed" in shown.stdout
    assert "curate-and-train: off" in shown.stdout


def test_without_the_password_the_server_refuses(up):
    assert status_of(f"{api_url(up.port)}/deployments/count") in (401, 405)
    assert status_of(f"{api_url(up.port)}/admin/version") == 401


def test_only_its_owner_may_read_the_password(up):
    assert stat.S_IMODE((up.toy / "work" / "prefect-password").stat().st_mode) == 0o600


@pytest.mark.parametrize(("origin", "status"), [("http://evil.example", 400), ("http://127.0.0.1:{port}", 200)])
def test_a_page_of_another_origin_is_refused(up, origin, status):
    answer = status_of(
        f"{api_url(up.port)}/deployments/filter",
        **{"Origin": origin.format(port=up.port), "Access-Control-Request-Method": "POST"},
    )
    assert answer == status


def test_the_telemetry_of_prefect_is_off(up):
    settings = json.dumps(up.api().get("/admin/settings"))
    assert '"analytics_enabled": false' in settings


def test_a_log_of_what_is_printed_does_not_have_the_password(up):
    wait_for(lambda: "Worker 'facemask-cpu-" in up.log, "the worker has printed a line of its own")
    assert "facemask: ready\n" in up.log
    assert up.password() not in up.log


def test_a_second_up_in_the_folder_gets_one_line(up):
    second = python("-m", "flows.cli", "up", "--port", str(free_port()), cwd=up.toy, env=up.env)
    assert second.returncode == 1
    assert second.stdout.count("\n") == 1
    assert f"'facemask up' runs already in {up.toy} at http://127.0.0.1:{up.port}" in second.stdout
