"""deploy/compose.yaml: no Docker runs here, so what it names is held against what there is."""

import re

import pytest
import yaml
from prefect.settings import Settings
from pydantic import BaseModel

from flows.project import PACKAGES
from tests.flows.conftest import ROOT

FILE = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())
SERVICES = FILE["services"]


def known_settings(model: type[BaseModel] = Settings) -> set[str]:
    """Every environment variable that Prefect reads: it ignores the others without a word."""
    names = set()
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            names |= known_settings(field.annotation)
        else:
            prefix = model.model_config.get("env_prefix", "")
            names |= {f"{prefix}{name}".upper()}
            choices = getattr(field.validation_alias, "choices", [])
            names |= {choice.upper() for choice in choices if isinstance(choice, str)}
    return names


@pytest.mark.parametrize("service", SERVICES)
def test_every_prefect_setting_is_one_that_prefect_reads(service):
    named = {name for name in SERVICES[service]["environment"] if name.startswith("PREFECT_")}
    assert named - known_settings() == set()


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_waits_only_for_others_that_tell_their_health(service):
    for other in SERVICES[service].get("depends_on", {}):
        assert "healthcheck" in SERVICES[other]


def test_nothing_is_open_beyond_this_machine():
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_without_a_password_it_does_not_start():
    assert SERVICES["server"]["environment"]["PREFECT_SERVER_API_AUTH_STRING"].startswith("${FACEMASK_AUTH:?")
    assert SERVICES["worker"]["environment"]["PREFECT_API_AUTH_STRING"].startswith("${FACEMASK_AUTH:?")


def test_every_volume_is_declared_or_a_folder():
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            assert volume.startswith(".") or volume.partition(":")[0] in FILE["volumes"]


def test_the_image_has_every_folder_that_the_package_is_made_of():
    copied = set(re.findall(r"^COPY (\w+) ", (ROOT / "deploy" / "Dockerfile").read_text(), re.MULTILINE))
    assert copied == {"experiments", *PACKAGES}
