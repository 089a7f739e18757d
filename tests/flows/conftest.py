"""A toy workspace: the project's flows over a dvc.yaml of trivial shell stages, run by the real programs."""

import json
import logging
import os
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from flows.local_server.api import Api

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(sys.executable).parent
PATIENCE_S = 540.0  # pytest ends a test after 600 s, with all stacks

DVC_YAML = """
stages:
  fetch:
    foreach: ${sources}
    do:
      cmd: mkdir -p raw && echo ${key} > raw/${key} && echo ${key} >> ran.log
      outs: ["raw/${key}"]
  curate:
    cmd: cp -r given reports && cat raw/* > manifest && echo curate >> ran.log
    deps: [raw, given]
    outs: [manifest, reports]
  evaluate:
    cmd: cp manifest model && echo evaluate >> ran.log
    deps: [manifest]
    outs: [model]
"""
# The settings of a client of the S3 server below, beside its address.
S3_SETTINGS = {"AWS_ACCESS_KEY_ID": "toy", "AWS_SECRET_ACCESS_KEY": "toy", "AWS_DEFAULT_REGION": "us-east-1"}
S3_BUCKET = "bucket"
CURATION_JSON = """
{"seen": 10, "accepted": 6, "rejected": 4, "reasons": {"no_face": 1, "blurred": 3},
 "domains": {"masked": {"seen": 10, "accepted": 6}}}
"""


def python(*arguments: str, cwd: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run this Python, stdout and stderr captured together."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for(condition: Callable[[], object], what: str) -> None:
    """Wait until `condition` is true; on a busy machine that may take minutes."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE_S} s: {what}"
        time.sleep(0.1)


def start_up(folder: Path, env: dict[str, str], log: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """`facemask up` in `folder`, once it is ready; its output goes to `log`."""
    with log.open("w") as output:
        command = [sys.executable, "-m", "flows.cli", "up", *arguments]
        up = subprocess.Popen(command, cwd=folder, env=env, stdout=output, stderr=output)
    try:
        # The last of the lines that follow "facemask: ready".
        wait_for(lambda: "facemask down\n" in log.read_text() or up.poll() is not None, "facemask up is ready")
        assert up.poll() is None, log.read_text()
    except BaseException:
        up.terminate()
        up.wait()
        raise
    return up


def api_of(workspace: Path) -> Api:
    """The REST API of the `facemask up` that runs in a workspace."""
    running = json.loads((workspace / "work" / "up.lock").read_text())
    return Api(running["url"], (workspace / "work" / "prefect-password").read_text().strip())


def asking(workspace: Path, env: dict[str, str]) -> dict[str, str]:
    """The environment of a client, anywhere, of the `facemask up` that runs in a workspace."""
    password = (workspace / "work" / "prefect-password").read_text().strip()
    return {**env, "PREFECT_API_URL": api_of(workspace).url, "PREFECT_API_AUTH_STRING": password}


def is_running(pid: int) -> bool:
    """Whether `pid` runs; a zombie does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    return make_toy(tmp_path / "toy")


def make_toy(workspace: Path) -> Path:
    from PIL import Image

    for package in ("flows", "models", "pipeline"):
        for module in (ROOT / package).rglob("*.py"):
            copy = workspace / module.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(module, copy)
    shutil.copy(ROOT / "prefect.yaml", workspace)
    (workspace / "dvc.yaml").write_text(DVC_YAML)
    (workspace / "params.yaml").write_text(
        "sources: {one: {kind: folder, domain: masked}, two: {kind: folder, domain: masked}}\n"
    )
    (workspace / "given" / "samples").mkdir(parents=True)
    (workspace / "given" / "curation.json").write_text(CURATION_JSON)
    Image.new("RGB", (8, 8), "blue").save(workspace / "given" / "samples" / "grid.png")
    made = python("-m", "dvc", "init", "--quiet", "--no-scm", cwd=workspace)
    assert made.returncode == 0, made.stdout
    return workspace


@pytest.fixture
def prefect_env(tmp_path: Path) -> dict[str, str]:
    return clean_env(tmp_path)


def clean_env(folder: Path) -> dict[str, str]:
    """An environment without any setting of Prefect but a home in `folder`."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return {**clean, "PREFECT_HOME": str(folder / "prefect-home"), "DO_NOT_TRACK": "1"}


def failing(reason: str) -> str:
    """A script that ends with an error that a user can act on."""
    return f"""
from pipeline.command import run
from pipeline.errors import FacemaskError
def main(): raise FacemaskError({reason!r})
run(main)
"""


def add_stage(workspace: Path, name: str, script: str) -> None:
    """Append to the toy's dvc.yaml a stage that runs `script` as Python."""
    (workspace / f"{name}.py").write_text(textwrap.dedent(script))
    with (workspace / "dvc.yaml").open("a") as file:
        file.write(f"  {name}:\n    cmd: python {name}.py\n    outs: [{name}.out]\n")


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """The address of an S3 server on 127.0.0.1 with an empty bucket."""
    import boto3
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # not a line for each request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    user = {"aws_access_key_id": "toy", "aws_secret_access_key": "toy", "region_name": "us-east-1"}
    boto3.client("s3", endpoint_url=url, **user).create_bucket(Bucket=S3_BUCKET)
    yield url
    server.stop()
