"""prefect.yaml says what Prefect understands: it ignores a key that it does not know, without a word."""

from typing import Any

import yaml
from prefect.cli.deploy._models import (
    ConcurrencyLimitSpec,
    DeploymentConfig,
    PrefectYamlModel,
    RawScheduleConfig,
    WorkPoolConfig,
)
from prefect.utilities.importtools import import_object
from pydantic import BaseModel

from flows.up import deployments
from tests.flows.conftest import ROOT

FILE = yaml.safe_load((ROOT / "prefect.yaml").read_text())


def unknown_keys(value: dict[str, Any], model: type[BaseModel]) -> set[str]:
    return set(value) - {field.alias or name for name, field in model.model_fields.items()}


def all_unknown_keys(file: dict[str, Any]) -> set[str]:
    found = unknown_keys(file, PrefectYamlModel)
    for deployment in file["deployments"]:
        found |= unknown_keys(deployment, DeploymentConfig)
        found |= unknown_keys(deployment["work_pool"], WorkPoolConfig)
        found |= unknown_keys(deployment.get("concurrency_limit", {}), ConcurrencyLimitSpec)
        for schedule in deployment.get("schedules", []):
            found |= unknown_keys(schedule, RawScheduleConfig)
    return found


def test_prefect_knows_every_key():
    assert all_unknown_keys(FILE) == set()


def test_this_check_would_find_a_misspelt_key():
    misspelt = {**FILE, "deployments": [{**FILE["deployments"][0], "concurency_limit": 1}]}
    assert all_unknown_keys(misspelt) == {"concurency_limit"}


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


def test_each_deployments_pool_is_found():
    assert deployments(ROOT / "prefect.yaml") == {"curate-and-train": "cpu"}
