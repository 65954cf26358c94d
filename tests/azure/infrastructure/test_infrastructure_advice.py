"""After `nbops azure up` one reads what to write where; the lines are what the files take."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import yaml

from notebooks_lib.azure.client import workspace
from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.azure.infrastructure import infrastructure_advice
from notebooks_lib.azure.infrastructure.infrastructure import Deployed
from notebooks_lib.azure.project_files import file_check
from notebooks_lib.settings import Settings
from notebooks_lib.settings.sections import Azure, Stage, Stages

MADE = Workspace("s", "g", "w")
IDENTITY = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id"
OUTPUTS = {
    "jobsIdentityId": IDENTITY,
    "jobsIdentityClientId": "77777777-2222-3333-4444-555555555555",
    "registryName": "org-models",
}


def project(settings: Settings, **azure: str) -> Settings:
    workspace.write_config(settings.root, MADE)
    return settings.model_copy(update={"azure": Azure(**azure)})  # type: ignore[arg-type]


def test_every_file_that_takes_the_identity_is_named_with_its_line(empty_project: Settings) -> None:
    (empty_project.root / "production" / "azure").mkdir(parents=True)
    (empty_project.root / "production" / "azure" / "job.yml").write_text("description: ours\n")
    shown = list(infrastructure_advice.lines(project(empty_project), "dev", Deployed(MADE, OUTPUTS)))
    assigned = f"identity: {{type: user_assigned, user_assigned_identities: [{{resource_id: {IDENTITY}}}]}}"
    assert shown == [
        "workspace 'w' (resource group 'g', subscription s) is there",
        "Azure ML registry org-models is there",
        '  production/settings.toml: registry = "org-models" under [azure], for stages in another workspace',
        f"identity for jobs and endpoints: {IDENTITY} (client id 77777777-2222-3333-4444-555555555555)",
        "  add to production/azure/job.yml: identity: {type: managed, client_id: 77777777-2222-3333-4444-555555555555}",
        f"  to use it, write production/azure/compute/NAME.yml: {assigned}",
        f"  to use it, write production/azure/endpoint.yml: {assigned}",
        'next: tracking.uri = "azureml" in production/settings.toml, then nbops doctor',
    ]
    assert (empty_project.root / "production" / "azure" / "job.yml").read_text() == "description: ours\n"


def test_the_lines_are_what_the_files_take(empty_project: Settings) -> None:
    folder = empty_project.root / "production" / "azure"
    for name, text in infrastructure_advice.identity_texts(
        "prod", IDENTITY, "77777777-2222-3333-4444-555555555555"
    ).items():
        file = folder / name.replace("NAME", "cpu")
        file.parent.mkdir(parents=True, exist_ok=True)
        content = {"type": "amlcompute", "size": "Standard_DS3_v2"} if "NAME" in name else {}
        file.write_text(yaml.safe_dump(content) * bool(content) + text + "\n")
    checked = file_check.check(empty_project.root, os.environ, by_sdk=False)
    assert {file.path.relative_to(folder).as_posix() for file in checked.files if file.exists} == {
        "job.yml",
        "compute/cpu.yml",
        "prod/endpoint.yml",
    }
    assert [fault.shown(Path("/")) for fault in checked.faults] == []


def test_a_registry_that_another_stage_made_needs_a_role_for_the_identity(empty_project: Settings) -> None:
    settings = project(empty_project, registry="org-models")
    shown = "\n".join(infrastructure_advice.lines(settings, "dev", Deployed(MADE, OUTPUTS | {"registryName": ""})))
    assert (
        "so that its endpoints may read registry org-models: az role assignment create --assignee 77777777-2222-3333"
        '-4444-555555555555 --role "AzureML Registry User" --scope "$(az ml registry show --name org-models --query id'
    ) in shown


def test_what_the_settings_say_already_is_not_said_again(empty_project: Settings) -> None:
    settings = project(empty_project, registry="org-models").model_copy(
        update={"tracking": empty_project.tracking.model_copy(update={"uri": "azureml"})}
    )
    shown = list(infrastructure_advice.lines(settings, "dev", Deployed(MADE, {"registryName": "org-models"})))
    assert shown[1:] == ["Azure ML registry org-models is there", "next: nbops doctor"]


def test_the_workspace_of_a_stage_comes_with_the_keys_that_name_it(empty_project: Settings) -> None:
    settings = project(empty_project)
    made = Deployed(replace(MADE, name="w-prod", resource_group="live"), {})
    shown = list(infrastructure_advice.lines(settings, "prod", made))
    assert shown[1:3] == [
        "  stage prod is still in workspace 'w' (resource group 'g', subscription s); to move it there:",
        '  production/settings.toml: endpoint = "azureml:" and workspace = "live/w-prod" under [stages.prod]',
    ]
    far = replace(made, workspace=replace(made.workspace, subscription="t"))
    assert '"t/live/w-prod"' in list(infrastructure_advice.lines(settings, "prod", far))[2]
    assert list(infrastructure_advice.lines(settings, "dev", made))[1].startswith("  the project still names workspace")
    there = settings.model_copy(update={"stages": Stages(prod=Stage(endpoint="azureml:", workspace="LIVE/W-prod"))})
    assert len(list(infrastructure_advice.lines(there, "prod", made))) == 2
