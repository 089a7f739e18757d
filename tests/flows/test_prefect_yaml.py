"""prefect.yaml has no keys but those that Prefect knows: it ignores others silently."""

import inspect
from typing import Any

import pytest
import yaml
from prefect.client.schemas.actions import DeploymentCreate, DeploymentScheduleCreate
from prefect.client.schemas.objects import ConcurrencyOptions
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule
from prefect.events import DeploymentEventTrigger
from prefect.utilities.importtools import import_object

from flows import watch
from flows.handoff import curating_side as handoff
from flows.handoff.job import Job
from flows.local_server.orphans import HEARTBEAT_S
from flows.local_server.up import deployments
from tests.flows.conftest import ROOT

FILE = yaml.safe_load((ROOT / "prefect.yaml").read_text())


# `prefect deploy` turns a deployment into these; `entrypoint`, `triggers` and `work_pool` are its own keys.
DEPLOYMENT_KEYS = DeploymentCreate.model_fields.keys() | {"triggers", "work_pool"}
POOL_KEYS = {"name", "job_variables", "work_queue_name"}
SCHEDULE_KEYS = {*DeploymentScheduleCreate.model_fields, *CronSchedule.model_fields, *IntervalSchedule.model_fields}
LIMIT_KEYS = {"limit", *ConcurrencyOptions.model_fields}
TRIGGER_KEYS = {field.alias or name for name, field in DeploymentEventTrigger.model_fields.items()}


def unknown_keys(file: dict[str, Any]) -> set[str]:
    """The keys that Prefect would ignore."""
    found = file.keys() - {"name", "prefect-version", "build", "push", "pull", "deployments"}
    for deployment in file["deployments"]:
        found |= deployment.keys() - DEPLOYMENT_KEYS - {"pull"}
        found |= deployment["work_pool"].keys() - POOL_KEYS
        found |= deployment.get("concurrency_limit", {}).keys() - LIMIT_KEYS
        for schedule in deployment.get("schedules", []):
            found |= schedule.keys() - SCHEDULE_KEYS
        for trigger in deployment.get("triggers", []):
            found |= trigger.keys() - TRIGGER_KEYS
    return found


def test_prefect_knows_every_key():
    assert unknown_keys(FILE) == set()


def test_this_check_would_find_a_misspelt_key():
    misspelt = {**FILE, "deployments": [{**FILE["deployments"][0], "concurency_limit": 1}]}
    assert unknown_keys(misspelt) == {"concurency_limit"}


def test_the_deployments_flow_is_there_and_has_the_name_that_is_typed():
    deployment = FILE["deployments"][0]
    path, _, function = deployment["entrypoint"].partition(":")
    assert (ROOT / path).is_file()
    flow = import_object(f"flows.curate_and_train.{function}")
    assert (flow.name, deployment["name"]) == ("curate-and-train", "curate-and-train")


def test_pull_steps_exist():
    for step in FILE["pull"]:
        for name in step:
            assert callable(import_object(name))


def test_the_weekly_schedule_is_there_but_off():
    (schedule,) = FILE["deployments"][0]["schedules"]
    assert (schedule["slug"], schedule["active"]) == ("weekly", False)


def test_the_trigger_waits_for_the_event_that_watch_emits():
    (trigger,) = FILE["deployments"][0]["triggers"]
    assert trigger["enabled"]
    assert trigger["expect"] == [watch.LANDED]
    deployment = next(deployment for deployment in FILE["deployments"] if deployment["name"] == watch.NAME)
    assert deployment["entrypoint"] == "flows/watch.py:watch"
    (schedule,) = deployment["schedules"]
    assert schedule["active"] and 600 <= schedule["interval"] <= 900


def test_each_deployments_pool_is_found():
    assert deployments(ROOT / "prefect.yaml") == {"curate-and-train": "cpu", "watch": "cpu", "train-cyclegan": "gpu"}


def test_the_hand_offs_deployment_is_the_flow_that_the_curating_side_starts():
    deployment = next(
        deployment for deployment in FILE["deployments"] if deployment["work_pool"]["name"] == handoff.POOL
    )
    path, _, function = deployment["entrypoint"].partition(":")
    flow = import_object(f"{path.removesuffix('.py').replace('/', '.')}.{function}")
    assert f"{flow.name}/{deployment['name']}" == handoff.DEPLOYMENT
    assert set(inspect.signature(flow.fn).parameters) == set(Job.__annotations__)
    for step in deployment["pull"]:
        for name in step:
            assert callable(import_object(name))


@pytest.mark.parametrize("name", ["curate-and-train", "train-cyclegan"])
def test_a_long_run_sends_heartbeats_as_often_as_the_servers_rule_expects(name):
    deployment = next(deployment for deployment in FILE["deployments"] if deployment["name"] == name)
    env = deployment["work_pool"]["job_variables"]["env"]
    assert env == {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_S)}
