"""`facemask up`: server, work pools, deployments and workers of the current folder, until Ctrl-C."""

import os
import shlex
import shutil
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import yaml

from flows.guard import guarded, interrupt_on_sigterm
from flows.server import (
    DEFAULT_PORT,
    HOST,
    api_url,
    port_is_free,
    prefect_command,
    server_command,
    server_env,
    wait_until_healthy,
)
from pipeline.errors import FacemaskError

_WORKER_POLL_S = 2  # Prefect's 10 s is meant for many workers on a far server


def up(port: int = DEFAULT_PORT) -> None:
    """Serve this folder's deployments until Ctrl-C or SIGTERM; then everything that was started here is ended."""
    pools = work_pools(Path("prefect.yaml"))
    if not port_is_free(port):
        raise FacemaskError(
            f"port {port} on {HOST} is in use, perhaps by another 'facemask up': stop that one, "
            f"or take another port, as in 'facemask up --port {port + 1}'"
        )
    interrupt_on_sigterm()
    try:
        _serve(port, pools)
    except KeyboardInterrupt:
        print("facemask: stopped", flush=True)


def work_pools(path: Path) -> list[str]:
    """The pools that the deployments in `path` name, each once."""
    if not path.is_file():
        raise FacemaskError(f"no {path} in {Path.cwd()}: run this in the project's folder")
    try:
        deployments = yaml.safe_load(path.read_text(encoding="utf-8"))["deployments"]
        return list(dict.fromkeys(deployment["work_pool"]["name"] for deployment in deployments))
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise FacemaskError(
            f"{path.resolve()} is no list of deployments that each name a work_pool ({error}): correct it"
        ) from error


def _serve(port: int, pools: list[str]) -> None:
    here = Path.cwd()
    # PWD: prefect.yaml's pull step names it as the folder that runs happen in.
    env = {"PREFECT_WORKER_QUERY_SECONDS": str(_WORKER_POLL_S), **server_env(port), "PWD": str(here)}
    with ExitStack() as started:
        # leader_last for a worker: told to stop, it kills its runs before they can report it, and may take 10 s itself.
        def start(name: str, command: list[str], leader_last: bool = False) -> subprocess.Popen[str]:
            process = started.enter_context(
                guarded(
                    command,
                    cwd=here,
                    env=env,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    leader_last=leader_last,
                )
            )
            threading.Thread(target=_relay, args=(name, process), daemon=True).start()
            return process

        _say(f"starting Prefect's server on {HOST}:{port} (10 s the first time)")
        running = {"server": start("server", server_command(port))}
        wait_until_healthy(port, running["server"].poll, "its output is above")
        for pool in pools:
            _make_pool(pool, here, env)
        _say("deploying what prefect.yaml names")
        _prefect("deploy", "prefect.yaml's deployments", ["--no-prompt", "deploy", "--all"], here, env)
        for pool in pools:
            name = f"worker {pool}"
            command = prefect_command("worker", "start", "--pool", pool, "--type", "process")
            running[name] = start(name, command, leader_last=True)
        _say(
            f"ready\n\n  look at it           http://{HOST}:{port}\n"
            f"  in a second terminal {_run_line(port, here)}\n  stop                 Ctrl-C\n"
        )
        while True:
            time.sleep(0.5)
            for name, process in running.items():
                if (status := process.poll()) is not None:
                    raise FacemaskError(f"Prefect's {name} ended with status {status}: its output is above")


def _make_pool(pool: str, here: Path, env: Mapping[str, str]) -> None:
    # Without --overwrite, which would undo what the user set for the pool in the UI.
    command = ["work-pool", "create", pool, "--type", "process"]
    _prefect("make", f"work pool '{pool}'", command, here, env, but_for="already exists")


def _prefect(
    verb: str, what: str, arguments: list[str], here: Path, env: Mapping[str, str], but_for: str | None = None
) -> None:
    """Run a `prefect` command. Raises FacemaskError if it fails, unless its output holds `but_for`."""
    done = subprocess.run(
        prefect_command(*arguments),
        cwd=here,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    if done.returncode and not (but_for and but_for in " ".join(done.stdout.split())):
        print(done.stdout, file=sys.stderr)
        raise FacemaskError(f"Prefect could not {verb} {what} (status {done.returncode}): its output is above")


def _run_line(port: int, here: Path) -> str:
    """The line that starts a run from another terminal in this folder, as it must be typed there."""
    prefect = Path(sys.executable).with_name("prefect")
    typed = "prefect"
    if shutil.which("prefect") != str(prefect):
        typed = str(prefect.relative_to(here) if prefect.is_relative_to(here) else prefect)
    found = os.environ.get("PREFECT_API_URL") or _configured_api_url(here / "pyproject.toml")
    address = "" if found == api_url(port) else f"PREFECT_API_URL={api_url(port)} "
    return f"{address}{shlex.quote(typed)} deployment run curate-and-train/curate-and-train"


def _configured_api_url(pyproject: Path) -> str | None:
    """The address that a `prefect` command finds in this folder by itself."""
    try:
        return str(tomllib.loads(pyproject.read_text(encoding="utf-8"))["tool"]["prefect"]["api"]["url"])
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError):
        return None


def _relay(name: str, process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip():
            print(f"{name} | {line}", end="", flush=True)


def _say(text: str) -> None:
    print(f"facemask: {text}", flush=True)
