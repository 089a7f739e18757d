"""Other databases and other servers, each by one setting: a real PostgreSQL, and a server started elsewhere."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from flows.local_server.server import api_url, free_port, is_healthy, server_env
from tests.flows.conftest import PROGRAMS, python, start_up, wait_for


def program(name: str) -> str | None:
    """One of PostgreSQL's, which Debian keeps out of PATH."""
    kept = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return shutil.which(name) or (str(kept[-1]) if kept else None)


@pytest.fixture
def postgres() -> Iterator[str]:
    """The address of an empty database, as Prefect takes it."""
    initdb, server = program("initdb"), program("postgres")
    if not initdb or not server:
        pytest.skip("no PostgreSQL here: apt-get install -y postgresql")
    user = "postgres" if os.getuid() == 0 else None  # it refuses to run as root
    port = free_port()
    with tempfile.TemporaryDirectory() as name:  # not pytest's folder, which is closed to other users
        folder = Path(name)
        if user:
            shutil.chown(folder, user)
        data = folder / "data"
        subprocess.run(
            [initdb, "--auth=trust", "--username=facemask", "--no-sync", "-D", data],
            user=user, cwd=folder, check=True, capture_output=True,
        )  # fmt: skip
        running = subprocess.Popen(
            [server, "-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", folder, "-F"],
            user=user, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            yield f"postgresql+asyncpg://facemask@127.0.0.1:{port}/postgres"
        finally:
            running.send_signal(signal.SIGINT)
            running.wait()


def test_a_run_is_recorded_in_postgresql_where_its_address_is_set(toy, prefect_env, postgres):
    env = {**prefect_env, "PREFECT_SERVER_DATABASE_CONNECTION_URL": postgres}
    done = python("-m", "flows.local_server.run", cwd=toy, env=env)
    assert done.returncode == 0, done.stdout
    query = "select s.name from flow_run r join flow_run_state s on r.state_id = s.id"
    found = subprocess.run(
        [str(program("psql")), postgres.replace("+asyncpg", ""), "-Atc", query], capture_output=True, text=True
    )
    assert found.stdout.split() == ["Completed"], found.stderr
    assert not Path(prefect_env["PREFECT_HOME"], "prefect.db").exists()


def test_up_deploys_to_a_server_elsewhere(toy, prefect_env, tmp_path):
    """One that another machine runs: with a password, and no database here."""
    port, far = free_port(), tmp_path / "far"
    url, log = api_url(port), tmp_path / "up.log"
    server = subprocess.Popen(
        [sys.executable, "-m", "prefect", "server", "start", "--port", str(port)],
        cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**prefect_env, "PREFECT_HOME": str(far), "PREFECT_SERVER_API_AUTH_STRING": "a:b"},
    )  # fmt: skip
    env = {**prefect_env, "PREFECT_API_URL": url, "PREFECT_API_AUTH_STRING": "a:b"}
    up = None
    try:
        wait_for(lambda: is_healthy(url), "the server answers")
        up = start_up(toy, env, log)
        typed = [str(PROGRAMS / "prefect"), "deployment", "run", "curate-and-train/curate-and-train", "--watch"]
        done = subprocess.run(typed, cwd=toy, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr + log.read_text()
        shown = python("-m", "flows.cli", "status", cwd=toy, env=env)
        assert f"up at {url.removesuffix('/api')}" in shown.stdout
        assert "Completed" in shown.stdout
    finally:
        if up:
            up.send_signal(signal.SIGTERM)
            assert up.wait() == 0, log.read_text()
        server.send_signal(signal.SIGINT)
        server.wait()


def test_up_with_the_address_of_no_server_is_one_line(toy, prefect_env):
    url = api_url(free_port())
    done = python("-m", "flows.cli", "up", cwd=toy, env={**prefect_env, "PREFECT_API_URL": url})
    assert done.returncode == 1
    assert done.stdout.startswith(f"facemask: error: no Prefect server answers at PREFECT_API_URL={url}: ")
    assert done.stdout.count("\n") == 1


def test_two_runs_at_once_in_a_fresh_folder_make_one_database(toy, prefect_env):
    command = [sys.executable, "-m", "flows.local_server.run", "fetch"]
    options = {"cwd": toy, "env": prefect_env, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    runs = [subprocess.Popen(command, **options) for _ in range(2)]
    for run in runs:
        output, _ = run.communicate()
        assert run.returncode == 0 or "facemask: error: a run is going on in" in output, output
    assert 0 in [run.returncode for run in runs]


def test_an_empty_password_file_is_one_line_that_names_it(toy, prefect_env):
    (toy / "work").mkdir()
    (toy / "work" / "prefect-password").touch()
    done = python("-m", "flows.cli", "run", cwd=toy, env={**prefect_env, "FACEMASK_WORK": "work"})
    assert done.returncode == 1
    last = done.stdout.splitlines()[-1]
    assert last.startswith(f"facemask: error: {toy / 'work' / 'prefect-password'} has no password USER:WORD: delete it")


def test_the_database_of_a_folder_with_a_question_mark_is_in_that_folder(tmp_path, monkeypatch):
    home = tmp_path / "what? #1 100%"
    home.mkdir()
    monkeypatch.setenv("PREFECT_HOME", str(home))
    env = server_env(4200)
    database = make_url(env["PREFECT_SERVER_DATABASE_CONNECTION_URL"]).database
    assert database is not None
    sqlite3.connect(database, uri=True).execute("create table a (b)")
    assert [path.name for path in home.iterdir()] == ["prefect.db"]


def test_the_database_of_any_other_folder_is_where_prefect_puts_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "ü #1 100%"))
    assert "PREFECT_SERVER_DATABASE_CONNECTION_URL" not in server_env(4200)
