"""Before a promotion, doctor looks at each stage's workspace, and at the registry between it and the project's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from notebooks_lib.azure.checks import stage_checks
from notebooks_lib.azure.client import rest_client, workspace
from notebooks_lib.cli import doctor
from notebooks_lib.health_check import HealthCheck
from notebooks_lib.settings import Settings
from notebooks_lib.settings.sections import Azure, Stage, Stages
from tests.azure import emulator
from tests.azure.emulator import Emulated
from tests.serving.azure_project import ELSEWHERE, VERSION, azure_project

pytestmark = pytest.mark.tracking


@pytest.fixture
def project(azure_server: Emulated, tmp_path: Path) -> Iterator[Settings]:
    provider = f"/subscriptions/{emulator.SUBSCRIPTION}/providers/Microsoft.MachineLearningServices"
    azure_server.put(provider, {"registrationState": "Registered"})
    with azure_project(azure_server, tmp_path / "azure", stage=ELSEWHERE) as project, azure_server.only_azure():
        yield project


def examined(project: Settings, *, home: bool = False) -> dict[str, HealthCheck]:
    place = workspace.find_workspace(project) if home else None
    return {check.what: check for check in stage_checks.examine(project, place)}


def test_a_stages_workspace_and_the_registry_are_looked_at(project: Settings) -> None:
    checks = examined(project)
    assert [(what, check.ok) for what, check in checks.items()] == [
        ("azure sign-in", True),
        ("azure workspace of prod", True),
        ("azure permissions of prod", True),
        ("azure provider of prod", True),
        ("azure registry", True),
    ]
    assert "in westeurope: Succeeded" in checks["azure workspace of prod"].detail
    assert checks["azure registry"].detail == f"registry '{project.azure.registry}' serves westeurope"
    assert "azure sign-in" not in examined(project, home=True), "the project's workspace has shown it"


def test_the_project_workspace_is_not_looked_at_twice(project: Settings) -> None:
    stages = Stages(test=Stage(endpoint="azureml:{model}-test"))
    assert examined(project.model_copy(update={"stages": stages}), home=True) == {}


def test_doctor_looks_at_stages_of_a_project_that_tracks_on_this_machine(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "_kernel", doctor._disk)
    assert any(check.what == "azure workspace of prod" for check in doctor.examine(project))


def test_what_is_missing_is_told_with_the_key(project: Settings) -> None:
    bare = project.model_copy(update={"azure": project.azure.model_copy(update={"registry": ""})})
    missing = examined(bare, home=True)["azure registry"]
    assert not missing.ok
    assert missing.advice.startswith('write registry = "NAME" under [azure] in ')
    wrong = project.model_copy(update={"azure": project.azure.model_copy(update={"registry": "none-of-ours"})})
    unknown = examined(wrong, home=True)["azure registry"]
    assert (unknown.ok, unknown.advice[:30]) == (False, "check registry under [azure], ")
    gone = project.model_copy(update={"stages": Stages(prod=Stage(endpoint="azureml:", workspace="not-there"))})
    assert not examined(gone)["azure workspace of prod"].ok
    stages = Stages(prod=Stage(endpoint="azureml:", workspace="other"))
    nowhere = project.model_copy(update={"stages": stages, "azure": Azure()})
    assert not examined(nowhere)["azure stage prod"].ok


def test_a_workspace_outside_the_registrys_regions_is_told(project: Settings) -> None:
    other = workspace.stage_workspace(project, "prod")
    client, body = rest_client.resource_manager(), {"location": "northeurope"}
    client.operation("PUT", other.path, VERSION, what="workspace", body=body, wait_seconds=60)
    check = examined(project)["azure registry"]
    assert (check.ok, check.advice) == (False, "add the region to the registry: `az ml registry update`")
    assert check.detail.endswith(f"serves westeurope; workspace {other.name} is in northeurope")


def test_without_a_sign_in_nothing_else_is_asked(project: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "wrong")
    assert [(what, check.ok) for what, check in examined(project).items()] == [("azure sign-in", False)]
