"""`facemask up`: server, work pools, deployments and workers of the current folder, until Ctrl-C."""

import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import yaml

from flows.local_server.api import Api
from flows.local_server.orphans import crash_orphans, watch_heartbeats
from flows.local_server.server import (
    HOST,
    api_url,
    client_env,
    is_healthy,
    password,
    password_file,
    port_is_free,
    prefect_command,
    running_server,
    server_env,
)
from flows.processes.guard import guarded
from flows.processes.workspace_lock import Lock, held
from pipeline.errors import FacemaskError, one_line
from pipeline.storage.files import digest_of

WITHOUT_WORKER = ("gpu",)
"""Pools whose workers run on other machines; without one, the flow trains in its own process with the same result."""

_WORKER_POLL_S = "2"  # Prefect's 10 s is meant for many workers on a far server
_WORKER_ENDS = 3  # so many within a minute are no accident: another start would end likewise


def up(port: int) -> None:
    """Serve this folder's deployments until Ctrl-C or SIGTERM; then everything that was started here is ended.

    It starts a server on `port`; where PREFECT_API_URL names a server, it starts workers for that one only.
    """
    served = deployments(Path("prefect.yaml"))
    elsewhere = os.environ.get("PREFECT_API_URL", "").removesuffix("/")
    with held("up") as lock:
        try:
            with ExitStack() as stack:
                if elsewhere:
                    server, env = None, _use_server(elsewhere, lock)
                else:
                    server, env = _start_server(port, lock, stack)
                # PWD: prefect.yaml's pull step names it as the folder that runs happen in.
                env = {"PREFECT_WORKER_QUERY_SECONDS": _WORKER_POLL_S, **env, "PWD": str(Path.cwd())}
                _serve(served, server, env, lock, stack)
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


def _use_server(url: str, lock: Lock) -> dict[str, str]:
    """The environment of clients of the server that PREFECT_API_URL names. Raises FacemaskError if none answers."""
    if not is_healthy(url):
        raise FacemaskError(
            f"no Prefect server answers at PREFECT_API_URL={url}: start it, correct the address, "
            "or unset PREFECT_API_URL to start a server for this folder"
        )
    lock.update(page=_page(url), url=url, password_file=None)
    return {**client_env(), "PREFECT_API_URL": url}


def _start_server(port: int, lock: Lock, stack: ExitStack) -> tuple[subprocess.Popen[str], dict[str, str]]:
    """Start this folder's server, which ends with `stack`. Returns it and the environment of its clients."""
    if not port_is_free(port):
        raise FacemaskError(
            f"port {port} on {HOST} is in use, perhaps by 'facemask up' of another folder: stop that one, "
            f"or take another port, as in 'facemask up --port {port + 1}'"
        )
    url = api_url(port)
    env = server_env(port)
    lock.update(port=port, page=_page(url), url=url, password_file=str(password_file()))
    _print(f"facemask: starting Prefect's server on {HOST}:{port} (10 s the first time)")
    return stack.enter_context(running_server(port, env, None, "its output is above")), env


def _serve(
    served: Mapping[str, str],
    server: subprocess.Popen[str] | None,
    env: Mapping[str, str],
    lock: Lock,
    stack: ExitStack,
) -> None:
    """Deploy, and run the workers, until server or workers cannot go on. `server`: None for one that runs elsewhere."""
    api = Api(env["PREFECT_API_URL"], env.get("PREFECT_API_AUTH_STRING"))
    flows = [name for name, pool in served.items() if pool not in WITHOUT_WORKER]
    pools = dict.fromkeys(served[name] for name in flows)
    # A run without a worker is `facemask run`'s; on a server that others share, it may be on another machine.
    crash_orphans(api, flows, [*map(worker_name, pools), *([None] if server else [])])
    watch_heartbeats(api)
    for pool in dict.fromkeys(served.values()):
        # Without --overwrite, which would undo what the user set for the pool in the UI.
        _prefect(env, "work-pool", "create", pool, "--type", "process", allowed="already exists")
    _print("facemask: deploying what prefect.yaml names")
    _prefect(env, "--no-prompt", "deploy", "--all")
    workers = {pool: _start_worker(pool, env, stack) for pool in pools}
    _print(f"facemask: ready\n\n{_what_next(_page(api.url), is_own=server is not None)}")
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
            crash_orphans(api, flows, [worker_name(pool)])
            workers[pool] = _start_worker(pool, env, stack)


def _start_worker(pool: str, env: Mapping[str, str], stack: ExitStack) -> subprocess.Popen[str]:
    """Start a worker of a pool, which ends with `stack`."""
    command = prefect_command("worker", "start", "--pool", pool, "--type", "process", "--name", worker_name(pool))
    # root_last: on SIGTERM a worker kills its runs before they can report it, and may take 10 s itself.
    return stack.enter_context(guarded(command, Path.cwd(), env, root_last=True))


def _prefect(env: Mapping[str, str], *arguments: str, allowed: str | None = None) -> None:
    """Run a `prefect` command. Raises FacemaskError if it fails, unless its output has the words `allowed`."""
    done = subprocess.run(
        prefect_command(*arguments),
        env=dict(env),
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


def _page(url: str) -> str:
    """The address of a server's page, from that of its API."""
    return url.removesuffix("/api")


def _what_next(page: str, is_own: bool) -> str:
    """The lines that say what to do with a `facemask up` that is ready; `is_own`: it has its own server."""
    # On a server elsewhere the plugin's short names are switched on for all, but it may be old.
    run = "curate-and-train" if is_own else "curate-and-train/curate-and-train"
    lines = [
        ("look at it", page),
        ("in a second terminal", f"{_typed('prefect')} deployment run {run}"),
        ("how is it going", "facemask status"),
        ("stop", "Ctrl-C, or facemask down"),
    ]
    if is_own:
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


def _print(text: str) -> None:
    print(text, flush=True)
