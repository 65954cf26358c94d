"""A deployment by the Azure CLI: what would change, that it is made, why it fails, how long it is waited for.

`az` is a stand-in that takes our command lines and makes what the Bicep declares in the emulated Azure.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from notebooks_lib import errors
from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.azure.infrastructure import azure_cli, infrastructure
from notebooks_lib.azure.infrastructure.azure_cli import Account, AzureCli
from notebooks_lib.azure.infrastructure.infrastructure import Deployment, Infrastructure
from notebooks_lib.azure.project_files import template_files
from notebooks_lib.settings import Settings
from tests.azure import emulator
from tests.azure.emulator import TENANT, Emulated, stand_in_az
from tests.azure.fixtures import MANAGEMENT, VERSION, Ask

ACCOUNT = Account(emulator.SUBSCRIPTION, "Development", "ada@example.com")
WORKSPACE = """
param name string
param locked bool = false
resource storage 'Microsoft.Storage/storageAccounts@2023-05-01' = {
  name: 'st${uniqueString(resourceGroup().id)}'
  properties: {
    allowSharedKeyAccess: locked
  }
}
resource workspace 'Microsoft.MachineLearningServices/workspaces@2025-12-01' = {
  name: name
  location: resourceGroup().location
  identity: {
    type: 'SystemAssigned'
  }
  properties: {
    storageAccount: storage.id
  }
}
"""
OUTPUT = "output workspaceName string = workspace.name\n"
SECOND_ROLE = """
resource role 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(storage.id, workspace.id)
  scope: storage
  properties: {
    principalId: workspace.identity.principalId
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', 'ba92f5b4-2d11-453d-a403-e96b0029c9fe')
  }
}
"""


def infra(folder: Path, group: str, text: str = WORKSPACE + OUTPUT, **parameters: Any) -> Infrastructure:
    """A deployment of a small template."""
    template, file = folder / "small.bicep", folder / "small.json"
    template.write_text(text)
    values = {name: {"value": value} for name, value in {"name": f"w-{group}", **parameters}.items()}
    file.write_text(json.dumps({"parameters": values}))
    return Infrastructure(AzureCli(), Deployment(emulator.SUBSCRIPTION, group, "dev", template, file))


def settings(root: Path, text: str = "") -> Settings:
    from notebooks_lib.settings import load

    (root / "production" / "infra").mkdir(parents=True, exist_ok=True)
    (root / "production" / "settings.toml").write_text(text)
    return load(root, {})


NAMED = '[project]\nname = "sales"\n\n'
AZURE = '[azure]\nsubscription = "{}"\nresource_group = "sales"\nworkspace = "w"\n'


def test_a_template_without_the_name_of_its_workspace_is_refused(tmp_path: Path) -> None:
    project = settings(tmp_path, NAMED)
    template_files.write_missing_files(tmp_path)
    own = tmp_path / "production" / "infra" / "main.bicep"
    own.write_text(own.read_text("utf-8").replace("output workspaceName", "output name"))
    with pytest.raises(errors.UsageError, match=r"main\.bicep has no output workspaceName: add it"):
        infrastructure.choose_deployment(project, ACCOUNT, stage="dev", resource_group="g")


def test_a_fault_in_the_settings_is_not_taken_for_no_workspace(tmp_path: Path) -> None:
    """`up` would deploy into the subscription of the CLI instead."""
    conflict = (
        AZURE
        + '\n[stages.test]\nendpoint = "azureml:same"\n\n[stages.prod]\nendpoint = "azureml:same"\nworkspace = "sales/w"\n'
    )
    for stage, named in (("test", None), ("prod", None), ("dev", "w")):
        project = settings(tmp_path, NAMED + conflict.format(emulator.SUBSCRIPTION))
        if named:
            found = infrastructure.named_workspace(project, stage)
            assert found is not None
            assert found.name == named
            continue
        with pytest.raises(errors.SettingsError, match=r"have one endpoint in workspace 'w'"):
            infrastructure.choose_deployment(project, ACCOUNT, stage=stage, resource_group="g")
    assert infrastructure.named_workspace(settings(tmp_path), "dev") is None


def test_a_template_without_the_parameter_is_not_given_the_name(tmp_path: Path) -> None:
    project = settings(tmp_path, NAMED + AZURE.format(emulator.SUBSCRIPTION))
    template_files.write_missing_files(tmp_path)
    own = tmp_path / "production" / "infra" / "main.bicep"
    assert infrastructure.choose_deployment(project, ACCOUNT, stage="dev").workspace_name == "w"
    own.write_text(own.read_text("utf-8").replace("param workspaceName ", "param nameOfWorkspace "))
    assert infrastructure.choose_deployment(project, ACCOUNT, stage="dev").workspace_name == ""


def test_all_steps_together_end_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In CI, whose own limit ends a job without a word."""

    class Cli:
        def run(self, *words: str, what: str, patience: float = 0) -> Any:
            assert patience <= 60
            return {"properties": {"provisioningState": "Running"}}

    deployment = Deployment("S", "g", "dev", tmp_path, tmp_path)
    slow = Infrastructure(cast("AzureCli", Cli()), deployment, seconds=60)
    slow.start()
    now = time.monotonic()
    monkeypatch.setattr(infrastructure.time, "monotonic", lambda: now + 61)
    for step in (slow.wait, slow.changes, slow.start):
        with pytest.raises(errors.AzureError) as ended:
            step()
        assert str(ended.value) == (
            "deployment nbops-dev in resource group 'g': `nbops azure up` has taken 1 min, as long as it may; Azure goes on"
            " with what was started: do it again to wait for it"
        )


def test_two_projects_in_one_group_have_deployments_of_their_own(tmp_path: Path) -> None:
    def chosen(name: str) -> str:
        project = settings(tmp_path, f'[project]\nname = "{name}"\n')
        return infrastructure.choose_deployment(project, ACCOUNT, stage="dev", resource_group="g").name

    assert (chosen("north"), chosen("south")) == ("nbops-dev-northdev", "nbops-dev-southdev")


def test_an_application_does_not_give_the_roles_of_the_people_to_itself(tmp_path: Path) -> None:
    project, application = settings(tmp_path, NAMED), replace(ACCOUNT, is_application=True)
    with pytest.raises(errors.UsageError, match=r"parameters\.dev\.json: peopleId is empty, and .* as an application"):
        infrastructure.choose_deployment(project, application, stage="dev", resource_group="g")
    template_files.write_missing_files(tmp_path)
    own = tmp_path / "production" / "infra" / "parameters.dev.json"
    own.write_text(own.read_text().replace('"peopleId": { "value": "" }', f'"peopleId": {{ "value": "{TENANT}" }}'))
    assert infrastructure.choose_deployment(project, application, stage="dev", resource_group="g").parameters == own


def test_where_it_is_deployed(tmp_path: Path) -> None:
    def chosen(text: str, **options: str) -> Deployment:
        return infrastructure.choose_deployment(
            settings(tmp_path, NAMED + text), ACCOUNT, **{"stage": "dev", **options}
        )

    with pytest.raises(errors.UsageError, match=r"no resource group is named: --resource-group NAME"):
        chosen("")
    named = chosen(AZURE.format(emulator.SUBSCRIPTION.upper()))
    assert (named.subscription, named.resource_group, named.workspace_name) == (emulator.SUBSCRIPTION, "sales", "w")
    for options in ({"resource_group": "other"}, {"stage": "prod"}):
        assert chosen(AZURE.format(emulator.SUBSCRIPTION), **options).workspace_name == ""
    with pytest.raises(errors.UsageError) as refused:
        chosen(AZURE.format("0000"))
    assert str(refused.value) == (
        f"the Azure CLI is signed in to subscription 'Development' ({emulator.SUBSCRIPTION}) as ada@example.com, but the"
        " project names 0000: `az account set --subscription 0000`; nothing was changed"
    )


@pytest.mark.tracking
def test_a_deployment_is_made_and_changes_nothing_the_second_time(azure_group: str, tmp_path: Path) -> None:
    first = infra(tmp_path, azure_group)
    assert [(each.kind, each.resource.partition("/")[0]) for each in first.changes()] == [
        ("create", "Microsoft.MachineLearningServices"),
        ("create", "Microsoft.Storage"),
    ]
    first.start()
    assert first.is_running()
    lines: list[str] = []
    deployed = first.wait(tell=lines.append, poll=0.01)
    assert deployed.workspace == Workspace(emulator.SUBSCRIPTION, azure_group, f"w-{azure_group}")
    assert lines[0] == f"deployment nbops-dev in resource group '{azure_group}': Running"
    assert first.changes() == []
    assert not first.is_running()

    (change,) = infra(tmp_path, azure_group, locked=True).changes()
    assert (change.kind, change.properties) == ("change", ("properties.allowSharedKeyAccess: False -> True",))


@pytest.mark.proof
@pytest.mark.tracking
def test_somebody_who_may_not_deploy_sees_the_changes(azure_group: str, tmp_path: Path) -> None:
    looking = infra(tmp_path, azure_group)
    stand_in_az.sign_in(Path(os.environ["AZURE_CONFIG_DIR"]), emulator.SUBSCRIPTION, reader=True)
    assert len(looking.changes(only_look=True)) == 2
    with pytest.raises(
        errors.AzureError, match=r"^no permission for .*Authorization failed for template resource"
    ) as no:
        looking.changes()
    assert no.value.status == 403


class OlderCli:
    """A CLI without the option, and then without an answer: the command lines that it was given."""

    def __init__(self) -> None:
        self.commands: list[tuple[str, ...]] = []

    def run(self, *arguments: str, what: str, patience: float = 0) -> Any:
        self.commands.append(arguments)
        if "--validation-level" in arguments:
            raise azure_cli.failure("ERROR: unrecognized arguments: --validation-level ProviderNoRbac", what)
        return {"changes": []}


def test_an_older_cli_is_asked_once_more_without_the_option(tmp_path: Path) -> None:
    cli = OlderCli()
    deployment = Deployment("s", "g", "dev", tmp_path / "main.bicep", tmp_path / "parameters.dev.json")
    assert Infrastructure(cast("AzureCli", cli), deployment).changes(only_look=True) == []
    assert cli.commands[0] == (*cli.commands[1], "--validation-level", "ProviderNoRbac")


VAULT = """
param days int = 7
param recoverVault bool = false
param place string = 'westeurope'
var mode = recoverVault ? { createMode: 'recover' } : { softDeleteRetentionInDays: days }
resource vault 'Microsoft.KeyVault/vaults@2023-07-01' = {
  name: 'kv${uniqueString(resourceGroup().id)}'
  location: place
  properties: union({ enablePurgeProtection: true }, mode)
}
"""


@pytest.mark.proof
@pytest.mark.tracking
def test_what_azure_never_changes_of_a_vault_is_refused_before(azure_group: str, tmp_path: Path, ask: Ask) -> None:
    """Its days, and after its deletion its region; a restored one keeps its days."""

    def vault(**parameters: Any) -> Infrastructure:
        return infra(tmp_path, azure_group, WORKSPACE + VAULT + OUTPUT, **parameters)

    first = vault()
    first.start()
    first.wait(poll=0.01)
    with pytest.raises(errors.UsageError) as refused:
        vault(days=90).changes()
    assert str(refused.value) == (
        "Azure never changes the days of a key vault (properties.softDeleteRetentionInDays: 7 -> 90); nothing was"
        " changed: put the old number back in small.json (keepDeletedVaultDays)"
    )
    vault(days=90).start()
    with pytest.raises(errors.AzureError, match=r"can't be modified; put back the value with which the vault was made"):
        vault(days=90).wait(poll=0.01)

    group = f"/subscriptions/{emulator.SUBSCRIPTION}/resourceGroups/{azure_group}"
    (made,) = [
        each for each in ask("GET", f"{MANAGEMENT}{group}/resources?{VERSION}").json()["value"] if "kv" in each["name"]
    ]
    assert ask("DELETE", f"{MANAGEMENT}{made['id']}?{VERSION}").ok
    elsewhere = vault(place="North Europe")
    with pytest.raises(
        errors.UsageError, match=r"was deleted in westeurope, and can be restored only there, until 2027"
    ):
        elsewhere.deleted_vault(elsewhere.changes())
    again = vault(days=90)
    assert again.deleted_vault(again.changes()) == made["name"]
    again.start(recover_vault=True)
    again.wait(poll=0.01)
    assert ask("GET", f"{MANAGEMENT}{made['id']}?{VERSION}").json()["properties"]["softDeleteRetentionInDays"] == 7


@pytest.mark.tracking
def test_a_resource_group_that_is_missing_is_refused_with_the_command(azure_group: str, tmp_path: Path) -> None:
    infra(tmp_path, azure_group).check_resource_group()
    with pytest.raises(
        errors.UsageError, match=r"no resource group 'no-such' in .* `az group create .* --name no-such"
    ):
        infra(tmp_path, "no-such").check_resource_group()


@pytest.mark.tracking
def test_a_deployment_that_fails_names_the_resource_and_the_reason(
    azure_group: str, tmp_path: Path, azure_server: Emulated
) -> None:
    """A role that Azure gives itself cannot be given again; a resource that may not be written; one that ends badly."""
    twice = infra(tmp_path, azure_group, WORKSPACE + SECOND_ROLE + OUTPUT)
    twice.start()
    with pytest.raises(errors.AzureError) as failed:
        twice.wait(poll=0.01)
    assert f"{failed.value}".startswith(
        f"deployment nbops-dev in resource group '{azure_group}': Microsoft.Authorization/"
    )
    assert "failed: RoleAssignmentExists: The role assignment already exists;" in str(failed.value)

    with (
        azure_server.fault("operation_fails", path=f"workspaces/x-{azure_group}"),
        pytest.raises(errors.AzureError, match=r"workspaces/x-g-\w+ failed: InternalServerError: The resource ended"),
    ):
        again = infra(tmp_path, azure_group, name=f"x-{azure_group}")
        again.start()
        again.wait(poll=0.01)


@pytest.mark.tracking
def test_a_workspace_that_somebody_else_made_is_left_as_it_is(azure_group: str, tmp_path: Path, ask: Ask) -> None:
    """As where IT gave the project its workspace, and `up` is said with its name."""
    tagged = WORKSPACE.replace("  identity:", "  tags: { 'nbops.managed-by': 'nbops azure up' }\n  identity:") + OUTPUT
    path = f"/subscriptions/{emulator.SUBSCRIPTION}/resourceGroups/{azure_group}/providers"
    address = f"{MANAGEMENT}{path}/Microsoft.MachineLearningServices/workspaces/w-{azure_group}?{VERSION}"
    assert ask("PUT", address, {"location": "westeurope", "tags": {"team": "it"}}).ok
    with pytest.raises(errors.UsageError) as refused:
        infra(tmp_path, azure_group, tagged).changes()
    assert str(refused.value).startswith(
        f"this deployment of `nbops azure up` did not make Microsoft.MachineLearningServices/workspaces/w-{azure_group} in resource group"
    )
    assert "take another name (prefix or workspaceName in small.json)" in str(refused.value)


@pytest.mark.tracking
def test_a_template_that_is_wrong_is_refused_before_anything_is_made(
    azure_group: str, tmp_path: Path, ask: Ask
) -> None:
    with pytest.raises(errors.AzureError, match=r"InvalidTemplate: .*'no parameter nam'"):
        infra(tmp_path, azure_group, nam="x").start()
    group = f"{MANAGEMENT}/subscriptions/{emulator.SUBSCRIPTION}/resourceGroups/{azure_group}/resources?{VERSION}"
    assert ask("GET", group).json() == {"value": []}


@pytest.mark.tracking
def test_a_deployment_that_never_ends_is_waited_for_only_so_long(
    azure_group: str, tmp_path: Path, azure_server: Emulated
) -> None:
    slow = infra(tmp_path, azure_group)
    with azure_server.fault("operation_never_ends", path=f"workspaces/w-{azure_group}"):
        slow.start()
        with pytest.raises(
            errors.AzureError, match=r"is still Running after 0\.01 min; Azure goes on with it: `nbops az"
        ):
            slow.wait(wait_seconds=0.6, poll=0.01)
    assert slow.is_running()
