"""`facemask up`: server, work pools, deployments and workers of the current folder, until Ctrl-C."""

import logging
import os
import shlex
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from logging.handlers import RotatingFileHandler
from pathlib import Path

import yaml

from flows.local_server.api import Api
from flows.local_server.orphans import crash_orphans, watch_heartbeats
from flows.local_server.server import (
    DEFAULT_PORT,
    HOST,
    api_url,
    client_env,
    is_healthy,
    one_start_at_a_time,
    password,
    password_file,
    port_is_free,
    prefect_command,
    server_command,
    server_env,
    wait_until_healthy,
)
from flows.processes.guard import guarded, interrupt_on_sigterm
from flows.processes.workspace_lock import Lock, held, up_refusal
from pipeline.errors import FacemaskError, one_line
from pipeline.paths import Paths
from pipeline.storage.files import digest_of

WITHOUT_WORKER = ("gpu",)
"""Pools whose workers run on other machines; without one, the flow trains in its own process with the same result."""

_LOG = logging.getLogger("facemask.up")
_WORKER_POLL_S = 2  # Prefect's 10 s is meant for many workers on a far server
_WORKER_ENDS = 3  # so many within a minute are no accident: another start would end likewise


def up(port: int = DEFAULT_PORT) -> None:
    """Serve this folder's deployments until Ctrl-C or SIGTERM; then everything that was started here is ended.

    It starts a server on `port`; where PREFECT_API_URL names a server, it starts workers for that one only.
    """
    served = deployments(Path("prefect.yaml"))
    elsewhere = os.environ.get("PREFECT_API_URL", "").removesuffix("/")
    with held("up", up_refusal) as lock:
        if elsewhere:
            if not is_healthy(elsewhere):
                raise FacemaskError(
                    f"no Prefect server answers at PREFECT_API_URL={elsewhere}: start it, correct the address, "
                    "or unset PREFECT_API_URL to start a server for this folder"
                )
            lock.update(page=elsewhere.removesuffix("/api"), url=elsewhere, password_file=None)
            env = {**client_env(), "PREFECT_API_URL": elsewhere}
        else:
            if not port_is_free(port):
                raise FacemaskError(
                    f"port {port} on {HOST} is in use, perhaps by 'facemask up' of another folder: stop that one, "
                    f"or take another port, as in 'facemask up --port {port + 1}'"
                )
            env = server_env(port)
            file = str(password_file())
            lock.update(port=port, page=f"http://{HOST}:{port}", url=api_url(port), password_file=file)
        interrupt_on_sigterm()
        _log_to(Paths().work() / "up.log")
        try:
            with ExitStack() as stack:
                # PWD: prefect.yaml's pull step names it as the folder that runs happen in.
                env = {"PREFECT_WORKER_QUERY_SECONDS": str(_WORKER_POLL_S), **env, "PWD": str(Path.cwd())}
                _serve(None if elsewhere else port, served, lock, _Programs(stack, env))
        except KeyboardInterrupt:
            _print("facemask: stopped")


def deployments(path: Path) -> dict[str, str]:
    """The work pool of each deployment that `path` names. Raises FacemaskError where it is no such file."""
    if not path.is_file():
        raise FacemaskError(f"no {path} in {Path.cwd()}: run this in the project's folder")
    try:
        listed = yaml.safe_load(path.read_text(encoding="utf-8"))["deployments"]
        return {deployment["name"]: deployment["work_pool"]["name"] for deployment in listed}
    except (yaml.YAMLError, ValueError, KeyError, TypeError) as error:  # ValueError: of another encoding
        raise FacemaskError(
            f"{path.resolve()} is no list of deployments that each have a name and a work_pool ({one_line(error)}): "
            "correct it"
        ) from error


def worker_name(pool: str) -> str:
    """The same at every start, so that the runs of a killed one are known to be this folder's, on this machine."""
    return f"facemask-{pool}-{digest_of(socket.gethostname(), str(Path.cwd()))[:8]}"


@dataclass(frozen=True)
class _Programs:
    """Starts programs under guards that end with `stack`, in the environment `env`."""

    stack: ExitStack
    env: Mapping[str, str] = field(repr=False)

    def start(self, name: str, command: list[str], root_last: bool = False) -> subprocess.Popen[str]:
        """Start a program, and print its output with its name."""
        process = self.stack.enter_context(guarded(command, Path.cwd(), self.env, subprocess.PIPE, root_last))
        threading.Thread(target=_relay, args=(name, process), daemon=True).start()
        return process

    def start_worker(self, pool: str) -> subprocess.Popen[str]:
        """Start a worker of a pool."""
        command = prefect_command("worker", "start", "--pool", pool, "--type", "process", "--name", worker_name(pool))
        # root_last: on SIGTERM a worker kills its runs before they can report it, and may take 10 s itself.
        return self.start(f"worker {pool}", command, root_last=True)

    def prefect(self, *arguments: str, allowed: str | None = None) -> None:
        """Run a `prefect` command. Raises FacemaskError if it fails, unless its output has the words `allowed`."""
        done = subprocess.run(
            prefect_command(*arguments),
            env=dict(self.env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        )
        if done.returncode and not (allowed and allowed in " ".join(done.stdout.split())):
            print(done.stdout, file=sys.stderr)
            raise FacemaskError(
                f"'prefect {' '.join(arguments)}' failed with status {done.returncode}: its output is above"
            )


def _serve(port: int | None, served: Mapping[str, str], lock: Lock, programs: _Programs) -> None:
    """Run the server on `port`, unless that is None, and the workers, until one of them cannot go on."""
    own = [name for name, pool in served.items() if pool not in WITHOUT_WORKER]
    pools = list(dict.fromkeys(served[name] for name in own))
    server = None
    if port is not None:
        with one_start_at_a_time():
            _print(f"facemask: starting Prefect's server on {HOST}:{port} (10 s the first time)")
            server = programs.start("server", server_command(port))
            wait_until_healthy(port, server.poll, "its output is above")
    api = Api(programs.env["PREFECT_API_URL"], programs.env.get("PREFECT_API_AUTH_STRING"))
    # A run without a worker is `facemask run`'s; on a server that others share, it may be on another machine.
    _crash_orphans(api, own, [*map(worker_name, pools), *([None] if server else [])])
    watch_heartbeats(api)
    for pool in dict.fromkeys(served.values()):
        # Without --overwrite, which would undo what the user set for the pool in the UI.
        programs.prefect("work-pool", "create", pool, "--type", "process", allowed="already exists")
    _print("facemask: deploying what prefect.yaml names")
    programs.prefect("--no-prompt", "deploy", "--all")
    workers = {pool: programs.start_worker(pool) for pool in pools}
    _print("facemask: ready")
    print(f"\n{_what_next(port)}", flush=True)  # not into the log: it may show the password
    lock.update(ready=True)
    ends: list[float] = []
    while True:
        time.sleep(0.5)
        if server and (status := server.poll()) is not None:
            raise FacemaskError(f"Prefect's server ended with status {status}: its output is above")
        for pool, worker in workers.items():
            if (status := worker.poll()) is None:
                continue
            ends = [*(end for end in ends if time.monotonic() - end < 60), time.monotonic()]
            if len(ends) == _WORKER_ENDS:
                raise FacemaskError(f"Prefect's worker {pool} ended with status {status}: its output is above")
            # Its guard has ended its runs with it. Server and schedule go on: a night's runs need only a worker.
            _print(f"facemask: the worker of pool {pool} ended with status {status}: starting another one")
            _crash_orphans(api, own, [worker_name(pool)])
            workers[pool] = programs.start_worker(pool)


def _crash_orphans(api: Api, flows: list[str], workers: list[str | None]) -> None:
    for name in crash_orphans(api, flows, workers):
        _print(f"facemask: run {name} had lost its process: marked Crashed; start it again, it goes on from there")


def _what_next(port: int | None) -> str:
    """The lines that say what to do with a `facemask up` that is ready."""
    page, run = f"http://{HOST}:{port}", "curate-and-train"
    if port is None:  # a server elsewhere: the plugin's short names are switched on for all, but it may be old
        page, run = os.environ["PREFECT_API_URL"].removesuffix("/").removesuffix("/api"), f"{run}/{run}"
    lines = [
        ("look at it", page),
        ("in a second terminal", f"{_typed('prefect')} deployment run {run}"),
        ("how is it going", "facemask status"),
        ("stop", "Ctrl-C, or facemask down"),
    ]
    if port is not None:
        # In clear only at a terminal: a file with this output may be read by others.
        shown = password() if sys.stdout.isatty() else f"in {os.path.relpath(password_file())}"
        lines.insert(1, ("password, asked once", shown))
    return "".join(f"  {name:<20} {text}\n" for name, text in lines)


def _typed(program: str) -> str:
    """What to type in a terminal in this folder to call a program of this installation."""
    path = Path(sys.executable).with_name(program)
    if shutil.which(program) == str(path):
        return program
    return shlex.quote(str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path))


def _relay(name: str, process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    for line in filter(str.strip, process.stdout):
        _print(f"{name} | {line.rstrip()}")


def _log_to(path: Path) -> None:
    """Log all that is printed to `path` too; the log of the start before this one becomes `path`.1."""
    handler = RotatingFileHandler(path, encoding="utf-8", backupCount=1, delay=True)
    if path.exists():
        handler.doRollover()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    _LOG.propagate = False
    _LOG.setLevel(logging.INFO)
    _LOG.addHandler(handler)


def _print(text: str) -> None:
    print(text, flush=True)
    _LOG.info(text)
