"""The flow under real Prefect servers: started for one run, and by `facemask up`."""

import json
import signal
import sqlite3
import subprocess
import tomllib
from pathlib import Path

from flows.local_server.api import Api
from flows.local_server.server import api_url, free_port, port_is_free
from tests.flows.conftest import PROGRAMS, ROOT, add_stage, failing, is_running, python, start_up, wait_for


def states(home: Path) -> list[tuple[str, str]]:
    """State name and message of every flow run that has begun, from the server's database; `watch` is only planned."""
    with sqlite3.connect(home / "prefect.db") as database:
        query = "select s.name, coalesce(s.message, '') from flow_run r join flow_run_state s on r.state_id = s.id"
        return list(database.execute(query + " where s.type != 'SCHEDULED' order by r.created"))


def count(home: Path, query: str) -> int:
    with sqlite3.connect(home / "prefect.db") as database:
        return int(database.execute(query).fetchone()[0])


def test_a_run_here_goes_through_all_stages_and_tells_what_failed_and_why(toy, prefect_env):
    home = Path(prefect_env["PREFECT_HOME"])
    # The address that pyproject.toml names for the `prefect` command is not asked: nobody listens there.
    (toy / "pyproject.toml").write_text(f'[tool.prefect]\napi.url = "{api_url(free_port())}"\n')
    good = python("-m", "flows.local_server.run", cwd=toy, env=prefect_env)
    assert good.returncode == 0, good.stdout
    assert "stage 1 of 4: fetch@one" in good.stdout
    assert "facemask: done in 0:" in good.stdout
    assert "Traceback" not in good.stdout

    add_stage(toy, "train", failing("no faces in data/train: curate first"))
    bad = python("-m", "flows.local_server.run", cwd=toy, env=prefect_env)
    assert bad.returncode == 1
    assert "Traceback" not in bad.stdout
    assert bad.stdout.rstrip().endswith("facemask: error: stage 'train' failed: no faces in data/train: curate first")
    assert "attempt 2" not in bad.stdout  # a person has to correct it: not tried again
    (first, second) = states(home)
    assert first[0] == "Completed"
    assert second[0] == "Failed"
    assert "stage 'train' failed: no faces in data/train: curate first" in second[1]
    assert (toy / "ran.log").read_text().split() == ["one", "two", "curate", "evaluate"]


def test_up_serves_the_deployment_and_stops_all_that_it_started(toy, prefect_env):
    port = free_port()
    home = Path(prefect_env["PREFECT_HOME"])
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["prefect"]
    plugins = "\n".join(f"plugins.{key} = {json.dumps(value)}" for key, value in settings["plugins"].items())
    (toy / "pyproject.toml").write_text(f'[tool.prefect]\napi.url = "{api_url(port)}"\n{plugins}\n')
    add_stage(toy, "train", "import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(300)")
    log = toy / "up.log"
    up = start_up(toy, prefect_env, log, "--port", str(port))
    try:
        typed = [str(PROGRAMS / "prefect"), "deployment", "run", "curate-and-train"]
        assert " ".join(typed[1:]) in log.read_text()
        assert "PREFECT_API_URL=" not in log.read_text().partition("second terminal")[2].partition("\n")[0]

        done = subprocess.run(
            [*typed, "--param", 'stages=["fetch", "curate", "evaluate"]', "--watch"],
            cwd=toy, env=prefect_env, capture_output=True, text=True, timeout=90,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr + log.read_text()
        assert [state for state, _ in states(home)] == ["Completed"]
        password = (toy / "work" / "prefect-password").read_text().strip()
        assert artifacts(Api(api_url(port), password)) == {"rejections": "table", "samples": "image"}
        assert (
            count(home, "select count(*) from task_run where name in ('fetch@one', 'fetch@two', 'curate', 'evaluate')")
            == 4
        )
        assert (
            count(home, "select count(*) from log where message = '> cp manifest model && echo evaluate >> ran.log'")
            == 1
        )
        assert count(home, "select count(*) from deployment_schedule where slug = 'weekly' and not active") == 1

        # The whole flow: `train` sleeps until `facemask up` is stopped.
        assert subprocess.run(typed, cwd=toy, env=prefect_env, capture_output=True).returncode == 0
        wait_for(lambda: (toy / "pid").is_file() and (toy / "pid").read_text(), 60, "the stage starts")
    finally:
        up.send_signal(signal.SIGINT)
        up.wait(60)
    assert up.returncode == 0, log.read_text()
    assert not is_running(int((toy / "pid").read_text()))
    assert not others_in(toy)
    assert port_is_free(port)
    assert [state for state, _ in states(home)] == ["Completed", "Crashed"]


def artifacts(api: Api) -> dict[str, str]:
    return {artifact["key"]: artifact["type"] for artifact in api.post("/artifacts/filter", {})}


def others_in(folder: Path) -> list[str]:
    """The command lines of processes whose current folder is `folder`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink() == folder and is_running(int(process.name)):
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found
