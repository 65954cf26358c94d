"""Before a job is sent, doctor says what the project's files ask of the workspace and do not get."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from notebooks_lib.azure.checks import project_checks
from notebooks_lib.azure.client import workspace
from notebooks_lib.health_check import HealthCheck
from notebooks_lib.settings import Settings
from tests.azure.emulator import Emulated
from tests.azure.fixtures import Ask, AzureProject, WithWorkspace

pytestmark = pytest.mark.tracking

Check = Callable[[], dict[str, HealthCheck]]


@pytest.fixture
def own(azure_workspace: AzureProject, with_workspace: WithWorkspace) -> Settings:
    return with_workspace(azure_workspace.settings, systemDatastoresAuthMode="identity")


@pytest.fixture
def check(own: Settings) -> Check:
    """Examine the project on a workspace of its own, in which nothing is yet."""
    return lambda: {
        each.what: each for each in project_checks.examine(workspace.find_workspace(own), own.root, {"MOST": "3"})
    }


def write(settings: Settings, name: str, text: str) -> None:
    file: Path = settings.root / "production" / "azure" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_a_sound_project_is_told_within_three_seconds(own: Settings, check: Check) -> None:
    write(own, "compute/cpu.yml", "type: amlcompute\nsize: Standard_DS3_v2\nmax_instances: ${MOST}\n")
    began = time.monotonic()
    checks = check()

    assert time.monotonic() - began < 3
    assert [each.what for each in checks.values() if not each.ok] == []
    assert checks["azure compute cpu"].detail == "not there yet: the first job on it makes it"
    assert checks["azure cores"].detail == (
        "compute/cpu.yml: 12 cores of standardDSv2Family for 3 x Standard_DS3_v2, 100 of 100 are left"
    )
    assert checks["azure image"].detail.startswith("mcr.microsoft.com/azureml/")


def test_a_file_with_a_fault_is_named_and_not_asked_about(own: Settings, check: Check) -> None:
    write(own, "compute/cpu.yml", "type: amlcompute\nsiez: Standard_DS3_v2\nmax: 1\n")
    checks = check()

    assert checks["azure files"].detail == (
        "production/azure/compute/cpu.yml:2: siez: unknown key, did you mean size?, and 1 more"
    )
    assert checks["azure files"].advice == "correct it: nbops azure check"
    assert "azure compute cpu" not in checks


def test_a_compute_that_the_file_cannot_change_is_a_fault(own: Settings, check: Check, ask: Ask) -> None:
    write(own, "compute/cpu.yml", "type: amlcompute\nsize: Standard_DS3_v2\nmax_instances: 2\n")
    body = {
        "computeType": "AmlCompute",
        "properties": {"vmSize": "Standard_NC6s_v3", "scaleSettings": {"maxNodeCount": 1}},
    }
    address = f"https://management.azure.com{workspace.find_workspace(own).path}/computes/cpu?api-version=1"
    assert ask("PUT", address, {"location": "westeurope", "properties": body}).ok
    found = check()["azure compute cpu"]

    assert (found.ok, found.detail) == (False, "size is STANDARD_NC6S_V3, the file says Standard_DS3_v2")
    assert found.advice == "Azure does not change it: correct or rename cpu.yml"


@pytest.mark.parametrize(
    ("name", "text", "detail"),
    [
        (
            "job.yml",
            "resources: {instance_type: Standard_NC6s, instance_count: 2}\n",
            "this region has no size Standard_NC6s",
        ),
        ("compute/big.yml", "type: amlcompute\nsize: Standard_XX\n", "this region has no size Standard_XX"),
    ],
)
def test_a_size_that_the_region_has_not_is_a_fault(
    own: Settings, check: Check, name: str, text: str, detail: str
) -> None:
    write(own, name, text)
    assert not (found := check()["azure cores"]).ok
    assert detail in found.detail


def test_machines_of_low_priority_have_another_quota(own: Settings, check: Check) -> None:
    write(own, "compute/cheap.yml", "type: amlcompute\nsize: Standard_XX\ntier: low_priority\n")
    assert "azure cores" not in check()


def test_who_may_not_write_to_the_storage_is_told_the_role(
    check: Check, azure_server: Emulated, own: Settings, ask: Ask
) -> None:
    account = ask("GET", f"https://management.azure.com{workspace.find_workspace(own).path}?api-version=1").json()
    place = f"{account['properties']['storageAccount']}/providers/Microsoft.Authorization/permissions"
    everything = {"list": {"value": [{"actions": ["*"], "notActions": [], "dataActions": ["*"]}]}}
    try:
        azure_server.put(place, {"list": {"value": [{"actions": ["*"], "notActions": [], "dataActions": []}]}})
        found = check()["azure storage"]
    finally:
        azure_server.put(place, everything)

    assert not found.ok
    assert "ask for the role Storage Blob Data Contributor on storage account" in found.advice
    assert check()["azure storage"].ok


def test_a_retired_image_is_a_fault(own: Settings, check: Check) -> None:
    write(own, "environment.yml", "image: mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu20.04:latest\n")
    found = check()["azure image"]

    assert not found.ok
    assert found.detail.endswith("is retired: it gets no patches, and may be taken away")
    assert "ubuntu22.04" in found.advice


def test_what_may_not_be_read_is_no_fault(check: Check, own: Settings, azure_server: Emulated) -> None:
    write(own, "job.yml", "resources: {instance_type: Standard_DS3_v2}\n")
    with azure_server.fault("forbidden", path="/usages$"):
        assert check()["azure cores"] == HealthCheck("azure cores", True, "your permissions do not show it")
