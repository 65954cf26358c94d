"""The workspace is found where Azure's own tools find it, asked for once, and every fault is one line with a next step."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from notebooks_lib import errors
from notebooks_lib.azure.client import workspace
from notebooks_lib.settings import Settings, load
from tests.azure import emulator
from tests.azure.fixtures import AzureProject

NAMES = {"subscription_id": "s-1", "resource_group": "group", "workspace_name": "ws"}


def write(file: Path, content: object) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))


def test_the_settings_name_it(empty_project: Settings) -> None:
    write(empty_project.root / "config.json", NAMES)
    given = {"NBOPS_AZURE_SUBSCRIPTION": "s-2", "NBOPS_AZURE_RESOURCE_GROUP": "g-2", "NBOPS_AZURE_WORKSPACE": "w-2"}

    assert workspace.find_workspace(load(empty_project.root, given)) == workspace.Workspace("s-2", "g-2", "w-2")


@pytest.mark.parametrize("place", ["config.json", ".azureml/config.json", "aml_config/config.json", "../config.json"])
def test_config_json_names_it_from_the_root_upwards(empty_project: Settings, place: str) -> None:
    write(empty_project.root / place, NAMES)

    assert workspace.find_workspace(empty_project) == workspace.Workspace("s-1", "group", "ws")


def test_a_job_knows_it_by_where_it_tracks_to(empty_project: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    scope = "subscriptions/s-3/resourceGroups/g-3/providers/Microsoft.MachineLearningServices/workspaces/w-3"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"azureml://westeurope.api.azureml.ms/mlflow/v2.0/{scope}")
    assert workspace.find_workspace(empty_project) == workspace.Workspace("s-3", "g-3", "w-3")

    write(empty_project.root / "config.json", NAMES)
    assert workspace.find_workspace(empty_project) == workspace.Workspace("s-1", "group", "ws")

    monkeypatch.setenv("AZUREML_RUN_ID", "r1")
    given = {"NBOPS_AZURE_SUBSCRIPTION": "s-2", "NBOPS_AZURE_RESOURCE_GROUP": "g-2", "NBOPS_AZURE_WORKSPACE": "w-2"}
    for settings in (empty_project, load(empty_project.root, given)):
        assert workspace.find_workspace(settings) == workspace.Workspace("s-3", "g-3", "w-3"), "the job's own"


def test_the_older_form_of_config_json_is_read(empty_project: Settings) -> None:
    provider = "providers/Microsoft.MachineLearningServices/workspaces/ws"
    write(empty_project.root / "config.json", {"Scope": f"/subscriptions/s-1/resourceGroups/group/{provider}"})

    assert workspace.find_workspace(empty_project) == workspace.Workspace("s-1", "group", "ws")


def test_a_config_json_of_something_else_is_passed_over(empty_project: Settings) -> None:
    write(empty_project.root / "config.json", {"port": 8888})
    write(empty_project.root.parent / "config.json", NAMES)

    assert workspace.find_workspace(empty_project).name == "ws"


def test_a_config_json_of_something_else_is_never_replaced(empty_project: Settings) -> None:
    root, made = empty_project.root, workspace.Workspace("s-1", "group", "ws")
    write(root / "config.json", {"port": 8888})
    assert workspace.write_config(root, made) == root / ".azureml" / "config.json"
    assert json.loads((root / "config.json").read_text()) == {"port": 8888}
    assert workspace.find_workspace(empty_project) == made
    with pytest.raises(errors.UsageError, match=r"name no workspace: write workspace = 'ws', resource_group = 'group'"):
        workspace.write_config(root, made)


def test_a_config_json_that_leads_to_a_device_is_passed_over(empty_project: Settings) -> None:
    (empty_project.root / "config.json").symlink_to("/dev/zero")
    write(empty_project.root.parent / "config.json", NAMES)

    assert workspace.find_workspace(empty_project).name == "ws"


def test_without_any_the_keys_to_fill_are_named(empty_project: Settings) -> None:
    with pytest.raises(
        errors.NoWorkspaceError, match=r"fill \[azure\] in .*toml, add config\.json, or run nbops azure up"
    ):
        workspace.tracking_uri(empty_project)


@pytest.mark.tracking
def test_azure_is_asked_once_and_the_answer_is_kept(
    azure_workspace: AzureProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = workspace.tracking_uri(azure_workspace.settings)

    assert uri.startswith("azureml://westeurope.api.azureml.ms/")
    assert uri.endswith("/workspaces/workspace")
    for name in azure_workspace.environment:
        monkeypatch.delenv(name)  # nobody can be asked now
    assert workspace.tracking_uri(azure_workspace.settings) == uri


def asked(project: AzureProject, **environment: str) -> str:
    """What is said when Azure cannot tell, in bounded time."""
    began = time.monotonic()
    with pytest.raises(errors.AzureError) as raised, pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        workspace.tracking_uri(load(project.settings.root, environment))
    assert time.monotonic() - began < 30
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.tracking
def test_an_unknown_workspace_is_told_by_name(azure_workspace: AzureProject) -> None:
    message = asked(azure_workspace, NBOPS_AZURE_WORKSPACE="missing")

    assert message.startswith("no workspace 'missing' (resource group 'emulated'")
    assert "check the three names under [azure]" in message


@pytest.mark.tracking
def test_no_way_to_sign_in_ends_with_how_to(azure_workspace: AzureProject, capfd: pytest.CaptureFixture[str]) -> None:
    message = asked(azure_workspace, AZURE_CLIENT_SECRET="wrong")

    assert message.startswith("cannot sign in to Azure by AZURE_* variables: AADSTS7000215: ")
    assert message.endswith("; put the value of the secret, not its id, into AZURE_CLIENT_SECRET")
    assert capfd.readouterr().err == ""


@pytest.mark.tracking
def test_no_network_is_told_soon(azure_workspace: AzureProject) -> None:
    assert "Azure does not answer" in asked(azure_workspace, HTTPS_PROXY="http://localhost:9")


@pytest.mark.tracking
def test_a_spoilt_memory_is_no_obstacle(azure_workspace: AzureProject) -> None:
    uri = workspace.tracking_uri(azure_workspace.settings)
    (azure_workspace.settings.layout.azure / "workspaces.json").write_text("{")

    assert workspace.tracking_uri(azure_workspace.settings) == uri
    assert emulator.WORKSPACE in uri
