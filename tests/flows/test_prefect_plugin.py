"""What the plugin gives to the `prefect` command, and that it takes nothing away."""

import asyncio
import json

import httpx
import pytest
from prefect.client.orchestration import PrefectClient

from flows.local_server import prefect_plugin
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
    with held("up", str) as lock:
        lock.update(url="http://there/api", password_file=str(here / "word"))
        environ: dict[str, str] = {}
        monkeypatch.setattr("os.environ", environ)
        prefect_plugin.find_server()
    assert environ == {"PREFECT_API_URL": "http://there/api", "PREFECT_API_AUTH_STRING": "facemask:secret"}


def test_a_server_that_the_user_named_is_not_given_this_ones_password(here, monkeypatch):
    (here / "work").mkdir()
    (here / "word").write_text("facemask:secret\n")
    with held("up", str) as lock:
        lock.update(url="http://there/api", password_file=str(here / "word"))
        environ = {"PREFECT_API_URL": "http://elsewhere/api"}
        monkeypatch.setattr("os.environ", environ)
        prefect_plugin.find_server()
    assert environ == {"PREFECT_API_URL": "http://elsewhere/api"}


def test_finding_no_server_makes_no_folder(here):
    prefect_plugin.find_server()
    assert list(here.iterdir()) == []


def test_a_file_that_is_no_lock_harms_nothing(here):
    (here / "work").mkdir()
    (here / "work" / "up.lock").write_text(json.dumps({"pid": 1}))
    prefect_plugin.setup_environment(ctx=None)
