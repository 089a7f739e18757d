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
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib.metadata import entry_points
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
    password,
    password_file,
    port_is_free,
    prefect_command,
    server_command,
    server_env,
    wait_until_healthy,
)
from flows.processes.guard import guarded, interrupt_on_sigterm
from flows.processes.workspace_lock import Lock, held, held_descriptors, up_already
from pipeline.errors import FacemaskError
from pipeline.storage.files import digest_of, work_folder

WITHOUT_WORKER = ("gpu",)
"""Pools whose workers are for other machines to start: on this one the flow trains in process, which is the same."""

_LOG = logging.getLogger("facemask.up")  # to work/up.log
_LOG.propagate = False
_LOG.setLevel(logging.INFO)

_WORKER_POLL_S = 2  # Prefect's 10 s is meant for many workers on a far server
_WORKER_ENDS = 3  # so many within a minute are no accident: another start would end likewise


def up(port: int = DEFAULT_PORT) -> None:
    """Serve this folder's deployments until Ctrl-C or SIGTERM; then everything that was started here is ended.

    With a server of its own on `port`; where PREFECT_API_URL names a server, with workers for that one.
    """
    served = deployments(Path("prefect.yaml"))
    elsewhere = os.environ.get("PREFECT_API_URL", "").removesuffix("/")
    with held("up", up_already) as lock:
        if elsewhere:
            _require_server(elsewhere)
            lock.tell(page=elsewhere.removesuffix("/api"), url=elsewhere, password_file=None)
        else:
            _require_port(port)
            lock.tell(port=port, page=f"http://{HOST}:{port}", url=api_url(port), password_file=str(password_file()))
        interrupt_on_sigterm()
        with _log_kept(work_folder() / "up.log"):
            try:
                with ExitStack() as started:
                    _serve(None if elsewhere else port, served, lock, started)
            except KeyboardInterrupt:
                _say("stopped")


def _require_port(port: int) -> None:
    if not port_is_free(port):
        raise FacemaskError(
            f"port {port} on {HOST} is in use, perhaps by 'facemask up' of another folder: stop that one, "
            f"or take another port, as in 'facemask up --port {port + 1}'"
        )


def _require_server(url: str) -> None:
    if not is_healthy(url):
        raise FacemaskError(
            f"no Prefect server answers at PREFECT_API_URL={url}: start it, correct the address, "
            "or unset PREFECT_API_URL for a server of this folder's own"
        )


def deployments(path: Path) -> dict[str, str]:
    """The work pool of each deployment that `path` names."""
    if not path.is_file():
        raise FacemaskError(f"no {path} in {Path.cwd()}: run this in the project's folder")
    try:
        listed = yaml.safe_load(path.read_text(encoding="utf-8"))["deployments"]
        return {deployment["name"]: deployment["work_pool"]["name"] for deployment in listed}
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise FacemaskError(
            f"{path.resolve()} is no list of deployments that each have a name and a work_pool ({error}): correct it"
        ) from error


def worker_name(pool: str, here: Path) -> str:
    """The same at every start, so that the runs of a killed one are known to be this folder's, on this machine."""
    return f"facemask-{pool}-{digest_of(socket.gethostname(), str(here))[:8]}"


def _serve(port: int | None, served: Mapping[str, str], lock: Lock, started: ExitStack) -> None:
    """Until something ends it: the server on `port`, unless that is None, and the workers."""
    here = Path.cwd()
    own = [name for name, pool in served.items() if pool not in WITHOUT_WORKER]
    workers = {pool: worker_name(pool, here) for pool in dict.fromkeys(served[name] for name in own)}
    # PWD: prefect.yaml's pull step names it as the folder that runs happen in.
    settings = client_env() if port is None else server_env(port)
    env = {"PREFECT_WORKER_QUERY_SECONDS": str(_WORKER_POLL_S), **settings, "PWD": str(here)}

    # root_last for a worker: on SIGTERM it kills its runs before they can report it, and may take 10 s itself.
    def start(name: str, command: list[str], root_last: bool = False) -> subprocess.Popen[str]:
        process = started.enter_context(
            guarded(
                command,
                cwd=here,
                env=env,
                output=subprocess.PIPE,
                root_last=root_last,
                hold=held_descriptors(),  # the next `facemask up` waits until all of a killed one has ended
            )
        )
        threading.Thread(target=_relay, args=(name, process), daemon=True).start()
        return process

    server = None
    if port is not None:
        _say(f"starting Prefect's server on {HOST}:{port} (10 s the first time)")
        server = start("server", server_command(port))
        wait_until_healthy(port, server.poll, "its output is above")
    api = Api(env["PREFECT_API_URL"].removesuffix("/"), env.get("PREFECT_API_AUTH_STRING"))
    # A run without a worker is `facemask run`'s; on a server that others share, it may be on another machine.
    _crash_orphans(api, own, [*workers.values(), *([None] if server else [])])
    watch_heartbeats(api)
    for pool in dict.fromkeys(served.values()):
        _make_pool(pool, here, env)
    _say("deploying what prefect.yaml names")
    _prefect("deploy", "prefect.yaml's deployments", ["--no-prompt", "deploy", "--all"], here, env)

    def start_worker(pool: str) -> subprocess.Popen[str]:
        command = prefect_command("worker", "start", "--pool", pool, "--type", "process", "--name", workers[pool])
        return start(f"worker {pool}", command, root_last=True)

    running = {pool: start_worker(pool) for pool in workers}
    _say("ready")
    print(f"\n{_what_next(port, here)}", flush=True)  # at a terminal with the password: not for the log
    lock.tell(ready=True)
    ends: list[float] = []
    while True:
        time.sleep(0.5)
        if server and (status := server.poll()) is not None:
            raise FacemaskError(f"Prefect's server ended with status {status}: its output is above")
        for pool, worker in running.items():
            if (status := worker.poll()) is None:
                continue
            ends = [*(end for end in ends if time.monotonic() - end < 60), time.monotonic()]
            if len(ends) == _WORKER_ENDS:
                raise FacemaskError(f"Prefect's worker {pool} ended with status {status}: its output is above")
            # Its guard has ended its runs with it. Server and schedule go on: a night's runs need only a worker.
            _say(f"the worker of pool {pool} ended with status {status}: starting another one")
            _crash_orphans(api, own, [workers[pool]])
            running[pool] = start_worker(pool)


def _crash_orphans(api: Api, flows: list[str], workers: list[str | None]) -> None:
    for name in crash_orphans(api, flows, workers):
        _say(f"run {name} had lost its process: marked Crashed; start it again, it goes on from where it was")


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


def _what_next(port: int | None, here: Path) -> str:
    """The lines that tell what to do with a `facemask up` that is ready."""
    lines = [
        ("look at it", os.environ.get("PREFECT_API_URL", "").removesuffix("/").removesuffix("/api")),
        ("in a second terminal", f"{_typed('prefect', here)} deployment run curate-and-train/curate-and-train"),
        ("how is it going", "facemask status"),
        ("stop", "Ctrl-C, or facemask down"),
    ]
    if port is not None:
        lines[0] = ("look at it", f"http://{HOST}:{port}")
        lines[1] = ("in a second terminal", _run_line(port, here))
        # In clear only at a terminal: a file with this output may be read by others.
        shown = password() if sys.stdout.isatty() else f"in {os.path.relpath(password_file())}"
        lines.insert(1, ("password, asked once", shown))
    return "".join(f"  {name:<20} {text}\n" for name, text in lines)


def _run_line(port: int, here: Path) -> str:
    """The line that starts a run from another terminal in this folder, as it must be typed there."""
    run = f"{_typed('prefect', here)} deployment run curate-and-train"
    if _plugin_is_on(here):
        return run
    return (
        f"PREFECT_API_AUTH_STRING=$(cat {shlex.quote(os.path.relpath(password_file()))}) "
        f"PREFECT_API_URL={api_url(port)} {run}/curate-and-train"
    )


def _typed(program: str, here: Path) -> str:
    """How a program beside this Python is called in a terminal in this folder."""
    path = Path(sys.executable).with_name(program)
    if shutil.which(program) == str(path):
        return program
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))


def _plugin_is_on(here: Path) -> bool:
    """Whether a `prefect` command in this folder learns of flows/local_server/prefect_plugin.py."""
    try:
        settings = tomllib.loads((here / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["prefect"]
        return bool(settings["plugins"]["enabled"] and entry_points(group="prefect.plugins", name="facemask"))
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError):
        return False


def _relay(name: str, process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip():
            _print(f"{name} | {line.rstrip()}")


def _say(text: str) -> None:
    _print(f"facemask: {text}")


@contextmanager
def _log_kept(path: Path) -> Iterator[None]:
    """Keep all that is printed in `path` too, and what the start before this one printed in `path`.1."""
    if path.exists():
        path.replace(path.with_name(f"{path.name}.1"))
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    _LOG.addHandler(handler)
    try:
        yield
    finally:
        _LOG.removeHandler(handler)
        handler.close()


def _print(text: str) -> None:
    print(text, flush=True)
    _LOG.info(text)
