"""Cancel means stop: however a run is ended, its stage ends with it, and the next run goes on."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from flows.local_server.api import Api
from flows.local_server.server import free_port
from tests.flows.conftest import (
    PROGRAMS,
    add_stage,
    api_of,
    asking,
    clean_env,
    is_running,
    make_toy,
    start_up,
    wait_for,
)

# Counts its starts in work/, and waits, with a program that it starts, until the file `go` is there.
SLOW = """
import os, subprocess, time
from pathlib import Path

Path("work/slow").mkdir(parents=True, exist_ok=True)
count = Path("work/slow/count")
begun = 1 + (int(count.read_text()) if count.is_file() else 0)
count.write_text(str(begun))
sleep = subprocess.Popen(["sleep", "3600"])
Path("pids.part").write_text(f"{os.getpid()} {sleep.pid}")
Path("pids.part").rename("pids")
while not Path("go").is_file():
    time.sleep(0.1)
sleep.kill()
Path("slow.out").write_text(f"begun {begun} times")
"""


@dataclass
class Up:
    """A workspace that `facemask up` serves."""

    toy: Path
    env: dict[str, str]
    api: Api = field(init=False)

    def prefect(self, *arguments: str) -> None:
        """The `prefect` command in another terminal."""
        command = [str(PROGRAMS / "prefect"), *arguments]
        env = asking(self.toy, self.env)
        done = subprocess.run(command, cwd=self.toy, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    def start_run(self) -> None:
        self.prefect("deployment", "run", "curate-and-train/curate-and-train", "--param", 'stages=["slow"]')

    def newest(self) -> dict:
        runs = self.api.post("/flow_runs/filter", {"flows": {"name": {"any_": ["curate-and-train"]}}})
        return max(runs, key=lambda run: run["created"])


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    folder = tmp_path_factory.mktemp("cancel")
    up, port, log = Up(make_toy(folder / "toy"), clean_env(folder)), free_port(), folder / "up.log"
    up.env.pop("FACEMASK_WORK", None)
    add_stage(up.toy, "slow", SLOW)
    process = start_up(up.toy, up.env, log, "--port", str(port))
    try:
        up.api = api_of(up.toy)
        yield up
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


@pytest.mark.parametrize(
    ("how", "state"),
    [("prefect flow-run cancel", "Cancelled"), (signal.SIGTERM, "Crashed"), (signal.SIGKILL, "Crashed")],
    ids=["cancelled", "sigterm", "kill -9"],
)
def test_the_stage_ends_with_the_run_and_so_does_what_the_stage_started(up, how, state):
    pids = up.toy / "pids"
    pids.unlink(missing_ok=True)
    up.start_run()
    wait_for(pids.is_file, "the stage runs")
    stage = [int(pid) for pid in pids.read_text().split()]
    run = up.newest()["id"]
    began = time.monotonic()
    if isinstance(how, str):
        up.prefect("flow-run", "cancel", run)
    else:
        os.kill(json.loads((up.toy / "work" / "run.lock").read_text())["pid"], how)
    wait_for(lambda: not any(map(is_running, stage)), "the stage has ended")
    print(f"ended after {time.monotonic() - began:.1f} s")
    wait_for(lambda: up.newest()["state_name"] == state, f"the run is {state}")
    assert up.newest()["id"] == run
    assert not (up.toy / "slow.out").exists()


def test_the_next_run_goes_on_from_what_was_half_done(up):
    before = int((up.toy / "work" / "slow" / "count").read_text())
    (up.toy / "go").touch()
    up.start_run()
    wait_for((up.toy / "slow.out").is_file, "the stage is done")
    wait_for(lambda: up.newest()["state_name"] == "Completed", "the run is Completed")
    assert (up.toy / "slow.out").read_text() == f"begun {before + 1} times"
