"""The GPU hand-off with the real programs: one server, clones of one repository, workers, a DVC remote between them.

Training is a toy that counts to 20, at a pace that each test sets; where it did so it writes to the file `trace`.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fsspec
import pytest

from flows.handoff.curating_side import hand_over
from flows.handoff.state_store import FOLDER
from flows.local_server.api import Api
from flows.local_server.server import free_port
from models.training.state_files import STATE_FILES
from tests.flows.conftest import (
    PROGRAMS,
    S3_BUCKET,
    S3_SETTINGS,
    api_of,
    asking,
    clean_env,
    is_running,
    make_toy,
    start_up,
    wait_for,
)

STAGES = ["pack", "train", "evaluate", "report"]
DVC_YAML = """
stages:
  pack:
    cmd: mkdir -p data && cp given/faces data/train
    deps: [given/faces]
    outs: [{data/train: {persist: true}}]
  train:
    cmd: python train.py
    deps: [data/train, train.py]
    params: [lesson]
    outs: [{checkpoints: {persist: true}}]
    metrics: [{metrics.json: {persist: true}}]
  evaluate:
    cmd: cat data/train checkpoints/n > evaluation.json
    deps: [checkpoints, data/train]
    metrics: [{evaluation.json: {persist: true}}]
  report:
    cmd: cp evaluation.json report.txt
    deps: [evaluation.json]
    outs: [report.txt]
"""
PARAMS = """
lesson: {images: 20}
handoff: {enabled: true, wait_minutes: 60, checkpoint_minutes: 0.02}
"""
TRAIN = (
    f"STATE_FILES = {sorted(STATE_FILES)}"
    + """
import hashlib, os, shutil, time
from pathlib import Path

digest = hashlib.sha256(Path("data/train").read_bytes()).hexdigest()[:16]
toy, work = Path(os.environ["TOY"]), Path("work/train") / digest
work.mkdir(parents=True, exist_ok=True)
states = sorted(work.glob("state-*"))
n = int((states[-1] / "state.pt").read_text()) if states else 0
with (toy / "trace").open("a") as trace:
    trace.write(f"{Path.cwd().name} {os.getpid()} {n}\\n")
while n < 20:
    time.sleep(float((toy / "pace").read_text()))
    n += 1
    beside = work / f".state-{n:012d}.part"
    beside.mkdir()
    for name in STATE_FILES:
        (beside / name).write_text(str(n))
    beside.rename(work / f"state-{n:012d}")
    for older in sorted(work.glob("state-*"))[:-1]:
        shutil.rmtree(older)
Path("checkpoints").mkdir(exist_ok=True)
Path("checkpoints/n").write_text(str(n))
Path("metrics.json").write_text('{"n": 20}')
shutil.rmtree(work)
"""
)


@dataclass
class Toy:
    """The curating side's clone `a` and its `facemask up`."""

    folder: Path
    env: dict[str, str]
    s3: Any  # fsspec's file system of the S3 server
    api: Api = field(init=False)
    workers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def a(self) -> Path:
        return self.folder / "a"

    def asking(self, clone: Path) -> dict[str, str]:
        """The environment of a terminal in `clone` with the server's address and password."""
        settings = {"PREFECT_WORKER_QUERY_SECONDS": "1", "PREFECT_PLUGINS_ENABLED": "false", "PWD": str(clone)}
        return {**asking(self.a, self.env), **settings}

    def new_faces(self, name: str, pace_s: float = 0) -> None:
        """Write new training data; training takes `pace_s` seconds for each of 20 steps."""
        (self.a / "given" / "faces").write_text(name + "\n")
        (self.folder / "pace").write_text(str(pace_s))
        (self.folder / "trace").write_text("")

    def trainings(self) -> list[tuple[str, int, int]]:
        """The starts of training since `new_faces`: clone, pid, and first step."""
        lines = (self.folder / "trace").read_text().split("\n")[:-1]
        return [(clone, int(pid), int(n)) for clone, pid, n in map(str.split, lines)]

    def run(self) -> subprocess.Popen[str]:
        """The flow in clone `a`, in this terminal."""
        command = [sys.executable, "-m", "flows.curate_and_train", *STAGES]
        return subprocess.Popen(
            command, cwd=self.a, env=self.asking(self.a), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    def prefect(self, *arguments: str) -> str:
        command = [str(PROGRAMS / "prefect"), *arguments]
        done = subprocess.run(command, cwd=self.a, env=self.asking(self.a), capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def runs(self, flow: str = "train-cyclegan") -> list[dict]:
        """The runs of a flow, the newest first."""
        return self.api.post("/flow_runs/filter", {"flows": {"name": {"any_": [flow]}}, "sort": "START_TIME_DESC"})

    def newest(self, flow: str = "train-cyclegan") -> dict:
        return max(self.runs(flow), key=lambda run: run["created"])

    def worker(self, name: str) -> subprocess.Popen[bytes]:
        """Start the worker of a GPU machine, which is a clone of the repository, if it is not running."""
        if name in self.workers and self.workers[name].poll() is None:
            return self.workers[name]
        clone = self.folder / name
        git("clone", "--quiet", str(self.a), str(clone), cwd=self.folder)
        shutil.copy(self.a / ".dvc" / "config.local", clone / ".dvc")
        command = [str(PROGRAMS / "prefect"), "worker", "start", "--pool", "gpu", "--name", name]
        with (self.folder / f"{name}.log").open("a") as log:
            worker = subprocess.Popen(command, cwd=clone, env=self.asking(clone), stdout=log, stderr=log)
        self.workers[name] = worker
        wait_for(lambda: name in self.online(), f"worker {name} is online")
        return worker

    def use_remote(self, name: str) -> None:
        """Let all clones use the DVC remote `name`: folder or s3."""
        for clone in (self.a, *(self.folder / name for name in self.workers)):
            (clone / ".dvc" / "config.local").write_text(f"[core]\nremote = {name}\n")

    def half_done(self) -> list[str]:
        """The training states in this DVC remote in S3; other tests have theirs in the same bucket."""
        self.s3.invalidate_cache()
        return [path for path in self.s3.find(f"{S3_BUCKET}/handoff") if FOLDER in path]

    def online(self) -> list[str]:
        return [worker["name"] for worker in self.api.post("/work_pools/gpu/workers/filter", {})]


def git(*arguments: str, cwd: Path) -> None:
    plain = ("-c", "user.name=toy", "-c", "user.email=toy@localhost", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *plain, *arguments], cwd=cwd, check=True, stdin=subprocess.DEVNULL)


def make_repository(folder: Path, s3: str) -> None:
    """Clone `a`: the project's flows over toy stages, and two DVC remotes, a folder beside it and one in S3."""
    a = make_toy(folder / "a")
    shutil.rmtree(a / ".dvc")
    (a / "dvc.yaml").write_text(DVC_YAML)
    (a / "params.yaml").write_text(PARAMS)
    (a / "train.py").write_text(TRAIN)
    (a / ".gitignore").write_text("/work\n/data\n/given\n__pycache__\n")
    git("init", "--quiet", cwd=a)
    subprocess.run([sys.executable, "-m", "dvc", "init", "--quiet"], cwd=a, check=True)
    (a / ".dvc" / "config").write_text(
        f"['remote \"folder\"']\nurl = {folder / 'remote'}\n"
        f"['remote \"s3\"']\nurl = s3://{S3_BUCKET}/handoff\nendpointurl = {s3}\n"
    )
    git("add", "--all", cwd=a)
    git("commit", "--quiet", "--message", "toy", cwd=a)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory, s3: str) -> Iterator[Toy]:
    folder = tmp_path_factory.mktemp("handoff")
    make_repository(folder, s3)
    env = {**clean_env(folder), **S3_SETTINGS, "TOY": str(folder)}
    env.pop("FACEMASK_WORK", None)
    user = {"key": S3_SETTINGS["AWS_ACCESS_KEY_ID"], "secret": S3_SETTINGS["AWS_SECRET_ACCESS_KEY"]}
    toy = Toy(folder, env, fsspec.filesystem("s3", **user, client_kwargs={"endpoint_url": s3}))
    toy.use_remote("folder")
    port, log = free_port(), folder / "up.log"
    up = start_up(toy.a, toy.env, log, "--port", str(port))
    try:
        toy.api = api_of(toy.a)
        yield toy
    finally:
        for process in (*toy.workers.values(), up):
            process.send_signal(signal.SIGINT)
        for process in (*toy.workers.values(), up):
            process.wait()


def output_of(run: subprocess.Popen[str]) -> str:
    """The output of a run, once it has ended."""
    output, _ = run.communicate()
    print(output)
    return output


def result(toy: Toy) -> str:
    return (toy.a / "report.txt").read_text()


def test_without_a_worker_training_runs_in_process(toy):
    toy.new_faces("alone")
    output = output_of(toy.run())
    assert "no hand-off: no worker of pool 'gpu' is online; training in this process" in output
    assert toy.trainings()[0][0] == "a"
    assert result(toy) == "alone\n20"
    assert toy.runs() == []


def test_a_run_that_no_worker_starts_is_cancelled_and_training_runs_in_process(toy):
    toy.new_faces("abandoned")
    toy.api.post("/work_pools/gpu/workers/heartbeat", {"name": "killed"})  # the server counts it as online for 90 s
    params = toy.a / "params.yaml"
    params.write_text(PARAMS.replace("wait_minutes: 60,", "wait_minutes: 0.05,"))
    try:
        began = time.monotonic()
        output = output_of(toy.run())
        print(f"fell back in {time.monotonic() - began:.1f} s")
    finally:
        params.write_text(PARAMS)
    assert ": it is Cancelled now" in output
    assert "no hand-off: nobody started it within 0.05 minutes; training in this process" in output
    assert toy.newest()["state_name"] == "Cancelled"
    assert [clone for clone, _, _ in toy.trainings()] == ["a"]
    assert result(toy) == "abandoned\n20"


def test_a_worker_trains_and_its_result_is_pulled(toy):
    toy.worker("b")
    toy.new_faces("handed")
    began, before = time.monotonic(), len(toy.runs())
    output = output_of(toy.run())
    print(f"handed over and back in {time.monotonic() - began:.1f} s")
    assert "worker b has started" in output
    assert [clone for clone, _, _ in toy.trainings()] == ["b"]
    assert result(toy) == "handed\n20"
    assert json.loads((toy.a / "metrics.json").read_text()) == {"n": 20}
    assert not (toy.folder / "b" / "report.txt").exists()
    assert not [*(toy.folder / "remote").rglob("*.tar")]
    lines: list[str] = []
    hand_over(STAGES, toy.a, lines.append)  # everything is up to date
    assert lines == []
    shutil.rmtree(toy.a / "checkpoints")  # as after a kill during the pull of the result
    shutil.rmtree(toy.a / ".dvc" / "cache")
    hand_over(STAGES, toy.a, lines.append)
    assert (toy.a / "checkpoints" / "n").read_text() == "20"
    assert len(toy.runs()) == before + 1


def test_a_clone_with_other_code_is_refused_in_one_line(toy):
    toy.worker("b")
    toy.new_faces("refused")
    other = toy.folder / "b" / "train.py"
    other.write_text(TRAIN + "\n# something else\n")
    try:
        run = toy.run()
        output = output_of(run)
    finally:
        other.write_text(TRAIN)
    assert run.returncode == 1
    last = output.rstrip().splitlines()[-1]
    assert last.startswith("facemask: error: train-cyclegan/train-cyclegan run '")
    assert last.endswith(
        f"ended as Failed: the GPU worker's clone in {toy.folder / 'b'} differs from the run that it is to train for, "
        "in train.py: bring both to the same commit ('git restore dvc.lock; git pull'), without uncommitted changes "
        "('git status' shows them)"
    )
    assert toy.trainings() == []


def test_after_kill_9_of_the_worker_the_next_one_resumes_from_the_pushed_state(toy):
    toy.use_remote("s3")
    b = toy.worker("b")
    toy.new_faces("preempted", pace_s=1)
    run = toy.run()
    wait_for(toy.trainings, "training starts")
    toy.worker("c")
    wait_for(toy.half_done, "a state is in the remote")
    ((_, training, _),) = toy.trainings()
    b.kill()  # and with it all that ran on its machine
    for pid in machine(training):
        os.kill(pid, signal.SIGKILL)
    (toy.folder / "pace").write_text("0")
    # As the server's own rule does, after 90 s without a heartbeat: test_up.py.
    toy.api.post(f"/flow_runs/{toy.newest()['id']}/set_state", {"state": {"type": "CRASHED"}, "force": True})
    output = output_of(run)
    assert "handing over to the next one" in output
    assert [clone for clone, _, _ in toy.trainings()] == ["b", "c"]
    assert toy.trainings()[1][2] > 0
    assert result(toy) == "preempted\n20"
    assert not toy.half_done()


def machine(pid: int) -> list[int]:
    """`pid` and the processes above it, up to what the worker started: the flow's own process."""
    found = [pid]
    while "prefect" not in Path(f"/proc/{found[-1]}/cmdline").read_text():
        found.append(int(Path(f"/proc/{found[-1]}/stat").read_text().rpartition(")")[2].split()[1]))
    return found[::-1]


@pytest.mark.parametrize("how", ["cancelled", "killed"])
def test_a_run_that_ends_ends_its_training_on_the_worker(toy, how):
    toy.use_remote("folder")
    toy.worker("c")
    toy.new_faces(f"parent {how}", pace_s=5)
    stages = f"stages={json.dumps(STAGES)}"
    toy.prefect("deployment", "run", "curate-and-train/curate-and-train", "--param", stages)
    wait_for(toy.trainings, "training starts")
    ((_, training, _),) = toy.trainings()
    began = time.monotonic()
    if how == "cancelled":
        toy.prefect("flow-run", "cancel", toy.newest("curate-and-train")["id"])
    else:
        os.kill(json.loads((toy.a / "work" / "run.lock").read_text())["pid"], signal.SIGKILL)
    wait_for(lambda: not is_running(training), "the training ends")
    print(f"ended in {time.monotonic() - began:.1f} s")
    wait_for(lambda: toy.newest()["state_name"] == "Cancelled", "its run is cancelled")
    ended_as = {"cancelled": "Cancelled", "killed": "Crashed"}[how]
    wait_for(lambda: toy.newest("curate-and-train")["state_name"] == ended_as, f"the run is {ended_as}")
