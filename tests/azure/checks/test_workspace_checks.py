"""Before work starts, doctor tells who is signed in and whether the workspace can be used, with advice for each fault."""

from __future__ import annotations

import time

import pytest

from notebooks_lib.azure.checks import workspace_checks
from notebooks_lib.azure.client import workspace
from notebooks_lib.health_check import HealthCheck
from tests.azure import emulator
from tests.azure.emulator import Emulated, sign_in
from tests.azure.fixtures import AzureProject

pytestmark = pytest.mark.tracking

ML = "Microsoft.MachineLearningServices/workspaces"
OWNER = {"actions": ["*"], "notActions": []}
READER = {"actions": ["*/read"], "notActions": []}
DATA_SCIENTIST = {
    "actions": [f"{ML}/*/read", f"{ML}/*/action", f"{ML}/*/delete", f"{ML}/*/write"],
    "notActions": [f"{ML}/delete", f"{ML}/write", f"{ML}/computes/*/write", f"{ML}/computes/*/delete"],
}
PERMISSIONS = f"{emulator.SCOPE}/providers/Microsoft.Authorization/permissions"
PROVIDER = f"/subscriptions/{emulator.SUBSCRIPTION}/providers/Microsoft.MachineLearningServices"
WORKSPACE = workspace.Workspace(emulator.SUBSCRIPTION, emulator.RESOURCE_GROUP, emulator.WORKSPACE)


@pytest.fixture(autouse=True)
def _well(azure_workspace: AzureProject, azure_server: Emulated) -> None:
    permit(azure_server, DATA_SCIENTIST)
    azure_server.put(PROVIDER, {"registrationState": "Registered"})


def permit(server: Emulated, *permissions: dict[str, list[str]]) -> None:
    server.put(PERMISSIONS, {"list": {"value": list(permissions)}})


def faults(chosen: workspace.Workspace = WORKSPACE) -> list[HealthCheck]:
    return [check for check in workspace_checks.examine(chosen) if not check.ok]


def test_all_is_told_within_three_seconds() -> None:
    began = time.monotonic()
    checks = list(workspace_checks.examine(WORKSPACE))

    assert time.monotonic() - began < 3
    assert [(check.what, check.ok, check.detail) for check in checks] == [
        ("azure sign-in", True, f"{sign_in.CLIENT} (tenant {sign_in.TENANT}), by AZURE_* variables"),
        ("azure workspace", True, f"{WORKSPACE} in westeurope: Succeeded"),
        ("azure permissions", True, "may write runs, models, jobs and endpoints"),
        ("azure provider", True, "Microsoft.MachineLearningServices: Registered"),
    ]


def test_without_a_sign_in_nothing_else_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "wrong")
    (check,) = workspace_checks.examine(WORKSPACE)

    assert (check.what, check.ok) == ("azure sign-in", False)
    assert check.detail.startswith("cannot sign in to Azure by AZURE_* variables: AADSTS7000215")
    assert "AZURE_CLIENT_SECRET" in check.advice


def test_a_missing_workspace_has_no_permissions() -> None:
    (check,) = faults(workspace.Workspace(emulator.SUBSCRIPTION, emulator.RESOURCE_GROUP, "missing"))

    assert check.what == "azure workspace"
    assert check.detail.startswith("no workspace 'missing' (resource group 'emulated'")
    assert check.advice == "check the three names under [azure]: `az ml workspace list`; or make it: nbops azure up"


@pytest.mark.parametrize(
    ("permissions", "missing"),
    [
        ([OWNER], ""),
        ([READER, DATA_SCIENTIST], ""),
        ([READER], "runs, models, jobs and endpoints"),
        ([], "runs, models, jobs and endpoints"),
        ([{"actions": [f"{ML}/experiments/*"], "notActions": []}], "models, jobs and endpoints"),
        ([{"actions": ["*"], "notActions": [f"{ML}/experiments/runs/write"]}], "runs"),
        ([{"actions": [f"{ML.upper()}/*"], "notActions": [f"{ML}/models/write"]}, OWNER], ""),
    ],
)
def test_what_may_not_be_written_is_told(
    permissions: list[dict[str, list[str]]], missing: str, azure_server: Emulated
) -> None:
    permit(azure_server, *permissions)

    expected = [("azure permissions", f"may not write {missing}")] if missing else []
    assert [(check.what, check.detail) for check in faults()] == expected
    if missing:
        assert "AzureML Data Scientist" in faults()[0].advice


def test_permissions_that_may_not_be_read_are_no_fault(azure_server: Emulated) -> None:
    with azure_server.fault("forbidden", path="/permissions$"):
        checks = {check.what: check for check in workspace_checks.examine(WORKSPACE)}

    assert checks["azure permissions"] == HealthCheck("azure permissions", True, "your permissions do not show it")


def test_a_provider_that_is_not_registered(azure_server: Emulated) -> None:
    azure_server.put(PROVIDER, {"registrationState": "NotRegistered"})
    (check,) = faults()

    assert check.what == "azure provider"
    assert "az provider register --namespace Microsoft.MachineLearningServices" in check.advice
