"""What the plugin gives to the `prefect` command, and that it takes nothing away."""

import asyncio
import json
import socket

import httpx
import pytest
from prefect.client.orchestration import PrefectClient

from flows.local_server import prefect_plugin
from flows.local_server.server import free_port
from flows.processes.workspace_lock import held


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("FACEMASK_WORK", "PREFECT_API_URL", "PREFECT_API_AUTH_STRING"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def asked(monkeypatch) -> list[str]:
    """The names that Prefect's client is asked for, in place of a server."""
    names: list[str] = []

    async def read(_client, name):
        names.append(name)

    monkeypatch.setattr(PrefectClient, "read_deployment_by_name", read)
    return names


@pytest.mark.parametrize(("typed", "read"), [("train", "train/train"), ("a/b", "a/b"), ("a/", "a/")])
def test_a_bare_name_is_doubled_and_one_with_a_slash_is_left_alone(asked, typed, read):
    prefect_plugin.allow_short_names()
    asyncio.run(PrefectClient.read_deployment_by_name(object(), typed))
    assert asked == [read]


def test_a_prefect_without_that_client_loses_nothing_else(monkeypatch):
    monkeypatch.delattr("prefect.client.orchestration.PrefectClient")
    monkeypatch.setattr("sys.argv", ["prefect", "deployment", "run", "train"])
    monkeypatch.setenv("PREFECT_API_URL", "http://there/api")
    prefect_plugin.setup_environment(ctx=None)


def test_a_proxy_that_httpx_refuses_does_not_stop_prefect(monkeypatch):
    for name in ("FACEMASK_UNUSABLE", "all_proxy"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("ALL_PROXY", "ftp://127.0.0.1")
    prefect_plugin.setup_environment(ctx=None)
    httpx.Client().close()


def test_the_running_server_of_this_folder_is_named(here, monkeypatch):
    (here / "work").mkdir()
    (here / "word").write_text("facemask:secret\n")
    with held("up") as lock:
        lock.update(url="http://there/api", password_file=str(here / "word"))
        environ: dict[str, str] = {}
        monkeypatch.setattr("os.environ", environ)
        prefect_plugin.find_server()
    assert environ == {"PREFECT_API_URL": "http://there/api", "PREFECT_API_AUTH_STRING": "facemask:secret"}


def test_a_server_that_the_user_named_is_not_given_this_ones_password(here, monkeypatch):
    (here / "work").mkdir()
    (here / "word").write_text("facemask:secret\n")
    with held("up") as lock:
        lock.update(url="http://there/api", password_file=str(here / "word"))
        environ = {"PREFECT_API_URL": "http://elsewhere/api"}
        monkeypatch.setattr("os.environ", environ)
        prefect_plugin.find_server()
    assert environ == {"PREFECT_API_URL": "http://elsewhere/api"}


RUN = ["prefect", "deployment", "run", "train"]


def test_a_deployment_run_without_any_server_ends_with_one_line_that_names_facemask_up(capsys):
    with pytest.raises(SystemExit):
        prefect_plugin.require_server(RUN, free_port())
    said = capsys.readouterr().out
    assert said.startswith("facemask: error: no server runs in") and "run 'facemask up' here" in said
    assert said.count("\n") == 1


def test_a_server_that_was_started_otherwise_is_asked():
    with socket.create_server(("127.0.0.1", 0)) as server:
        prefect_plugin.require_server(RUN, server.getsockname()[1])


@pytest.mark.parametrize("arguments", [["prefect", "deployment", "ls"], [*RUN, "--help"], ["prefect"]])
def test_other_commands_of_prefect_are_left_alone(arguments):
    prefect_plugin.require_server(arguments, free_port())


def test_finding_no_server_makes_no_folder(here):
    prefect_plugin.find_server()
    assert list(here.iterdir()) == []


def test_a_file_that_is_no_lock_harms_nothing(here):
    (here / "work").mkdir()
    (here / "work" / "up.lock").write_text(json.dumps({"pid": 1}))
    prefect_plugin.setup_environment(ctx=None)
