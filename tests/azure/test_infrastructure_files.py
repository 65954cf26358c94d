"""The Bicep and its parameters, parsed whole: what is used, named, secured, given out, and to whom."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from notebooks_lib.azure.client.rest_client import RestClient
from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.azure.infrastructure import managed_resources
from notebooks_lib.azure.project_files import template_files
from notebooks_lib.azure.schedules import schedule
from tests.azure.emulator.bicep import Declared, Place, Template, symbols_in
from tests.azure.request_shapes import misfits

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "production" / "infra"
FILES = sorted(FOLDER.glob("*.bicep"))
STAGES = ("dev", "test", "prod")
PLACE = Place("S", "G", "westeurope", "TENANT", "DEPLOYER")
ALL = {"registryName": "shared-models", "wakeSchedule": "retrain", "recoverVault": True}
"""Parameters with which everything is made."""
BUILT_IN = {
    "AcrPull": "7f951dda-4ed3-4680-a7ca-43fe172d538d",
    "AzureML Compute Operator": "e503ece1-11d0-4e8e-8e2c-7a6c3bf38815",
    "AzureML Data Scientist": "f6c7c914-8db3-469d-8ca1-694a8f32e121",
    "AzureML Registry User": "1823dd4f-9b8c-4ab6-ab4e-7397a3684615",
    "Managed Identity Operator": "f1a07417-d97a-45cb-824c-7a7467783830",
    "Monitoring Reader": "43d0d8ad-25c7-4714-9337-8ba259a9fe05",
    "Storage Blob Data Contributor": "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
    "Storage File Data Privileged Contributor": "69566ab7-960f-475b-8e7c-b3118f30c6bd",
    "Storage Queue Data Contributor": "974c5e8b-45b9-4653-ba55-5f855dd0fb88",
    "Storage Table Data Contributor": "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3",
}
"""Names and ids of built-in roles, from Azure's documentation."""
OTHER_VERSIONS = {
    "Microsoft.Authorization/roleAssignments": "2022-04-01",
    "Microsoft.EventGrid/eventSubscriptions": "2022-06-15",
    "Microsoft.Logic/workflows/triggers": "2019-05-01",
    "Microsoft.Storage/storageAccounts/blobServices": "2023-05-01",
}
"""The API versions of what lies in another resource; the others are in `managed_resources.API_VERSIONS`."""
NAMES = {
    "Microsoft.ContainerRegistry/registries": r"[a-zA-Z0-9]{5,50}",
    "Microsoft.Insights/components": r"[\w.()-]{1,260}",
    "Microsoft.KeyVault/vaults": r"(?!.*--)[a-zA-Z][a-zA-Z0-9-]{1,22}[a-zA-Z0-9]",
    "Microsoft.Logic/workflows": r"[\w.()-]{1,43}",
    "Microsoft.MachineLearningServices/registries": r"[a-zA-Z0-9][a-zA-Z0-9-]{2,32}",
    "Microsoft.MachineLearningServices/workspaces": r"[a-zA-Z0-9][\w-]{2,32}",
    "Microsoft.ManagedIdentity/userAssignedIdentities": r"[a-zA-Z0-9][\w-]{2,127}",
    "Microsoft.OperationalInsights/workspaces": r"[a-zA-Z0-9][a-zA-Z0-9-]{2,61}[a-zA-Z0-9]",
    "Microsoft.Storage/storageAccounts": r"[a-z0-9]{3,24}",
}
"""Azure's rules for names."""
SECURE = {
    "storage": {
        "allowBlobPublicAccess": False,
        "allowCrossTenantReplication": False,
        "allowSharedKeyAccess": False,
        "defaultToOAuthAuthentication": True,
        "minimumTlsVersion": "TLS1_2",
        "supportsHttpsTrafficOnly": True,
    },
    "blobs": {"deleteRetentionPolicy.enabled": True, "containerDeleteRetentionPolicy.enabled": True},
    "vault": {"enableRbacAuthorization": True, "enablePurgeProtection": True, "enableSoftDelete": True},
    "containerRegistry": {"adminUserEnabled": False},
    "workspace": {"systemDatastoresAuthMode": "Identity"},
}
"""Symbol -> properties that it must have."""


class Runtime(dict[str, Any]):
    """What is known only after a deployment: its path, as a text."""

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__()

    def __missing__(self, key: str) -> Any:
        return Runtime(self.path) if key in ("properties", "identity") else f"<{self.path.rpartition('/')[2]} {key}>"


def template(of_stage: str = "dev", **parameters: Any) -> Template:
    return Template(FOLDER / "main.bicep", PLACE, given(of_stage) | parameters, Runtime)


def given(stage: str) -> dict[str, Any]:
    content = json.loads((FOLDER / f"parameters.{stage}.json").read_text("utf-8"))
    values = {name: each["value"] for name, each in content["parameters"].items()}
    return {"prefix": template_files.default_prefix("sales", stage), **values}


def declared(**parameters: Any) -> dict[str, Declared]:
    return {each.symbol: each for each in template(**parameters).resources()}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_parameter_variable_and_reference_of_a_file_is_used_and_declared(file: Path) -> None:
    content = Template(file, PLACE, {}, Runtime).content
    bodies = [
        content["resources"],
        content.get("modules", {}),
        content.get("outputs", {}),
        content.get("variables", {}),
    ]
    used = set(symbols_in([*bodies, [each.get("default") for each in content["parameters"].values()]]))
    references = [name for name, each in content["resources"].items() if each["existing"]]
    assert not {*content["parameters"], *content.get("variables", {}), *references} - used
    for each in content["parameters"].values():
        assert "description" in [rule["type"] for rule in each["decorators"]]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_no_text_is_the_name_of_anything(file: Path) -> None:
    """pycep does not tell `dev` from `'dev'`, and neither do these tests and the stand-in."""
    content = Template(file, PLACE, {}, Runtime).content
    names = {*content["parameters"], *content.get("variables", {}), *content["resources"]}
    assert not names & set(re.findall(r"'([^'$]*)'", file.read_text("utf-8")))


@pytest.mark.parametrize("stage", STAGES)
def test_the_parameters_of_a_stage_fit_the_template(stage: str) -> None:
    assert [*template(stage).problems()] == []
    assert given(stage)["stage"] == stage
    assert not [each for each in STAGES if each != stage and given(each)["prefix"] == given(stage)["prefix"]]


def test_parameters_that_do_not_fit_are_found() -> None:
    assert [*template(prefx="x").problems()] == ["no parameter prefx"]
    assert [*template(prefix="nb").problems()] == ["prefix is 'nb', which is not within 3 and 9"]
    assert [*template(storageSku="LRS").problems()] == [
        "storageSku is 'LRS', which is none of ['Standard_LRS', 'Standard_ZRS']"
    ]
    without = Template(FOLDER / "main.bicep", PLACE, {"stage": "dev"}, Runtime)
    assert next(without.problems()) == "no value for parameter prefix"


def test_each_type_has_one_api_version_and_stands_in_the_table() -> None:
    versions: dict[str, set[str]] = {}
    for file in FILES:
        for each in Template(file, PLACE, {}, Runtime).content["resources"].values():
            versions.setdefault(each["type"], set()).add(each["api_version"])
    by_azure = {"Microsoft.AlertsManagement/smartDetectorAlertRules", "Microsoft.Insights/actionGroups"}
    by_azure |= {"Microsoft.EventGrid/systemTopics"}
    table = managed_resources.API_VERSIONS | OTHER_VERSIONS
    assert versions == {kind: {version} for kind, version in table.items() if kind not in by_azure}


def test_what_down_removes_carries_its_tags() -> None:
    """What lies in another resource goes with it, and has none."""
    for each in declared(**ALL, tags={"team": "sales"}).values():
        if each.type in OTHER_VERSIONS:
            continue
        own = {managed_resources.STAGE: "dev", managed_resources.PREFIX: "salesdev"}
        if each.symbol == "registry":  # it serves other stages too
            own = {managed_resources.REGISTRY: "shared-models"}
        assert each.body["tags"] == {managed_resources.MANAGED_BY: managed_resources.UP, "team": "sales", **own}
        assert each.type in managed_resources.API_VERSIONS


@pytest.mark.parametrize("prefix", ["abc", "abcdefghi"])
def test_names_fit_azures_rules(prefix: str) -> None:
    names = {each.type: each.id.rpartition("/")[2] for each in declared(**ALL, prefix=prefix).values()}
    assert names.keys() - OTHER_VERSIONS.keys() == NAMES.keys()
    for kind, rule in NAMES.items():
        assert re.fullmatch(rule, names[kind]), (kind, names[kind])


def test_security_is_not_left_to_defaults() -> None:
    found = declared(**ALL)
    for symbol, properties in SECURE.items():
        for path, wanted in properties.items():
            value: Any = found[symbol].body["properties"]
            for name in path.split("."):
                value = value[name]
            assert (symbol, path, value) == (symbol, path, wanted)
    for symbol in ("workspace", "registry", "app"):
        assert found[symbol].body["identity"] == {"type": "SystemAssigned"}
    assert found["insights"].body["properties"]["WorkspaceResourceId"] == found["logs"].id


def test_no_secret_leaves_the_template() -> None:
    """Outputs are names, ids and a client id. The one secret address there is goes to Event Grid alone."""
    outputs = template(**ALL).outputs()
    assert {name: str(each) for name, each in outputs.items()} == {
        "workspaceName": declared(**ALL)["workspace"].id.rpartition("/")[2],
        "jobsIdentityId": declared(**ALL)["jobsIdentity"].id,
        "jobsIdentityClientId": f"<{declared(**ALL)['jobsIdentity'].id.rpartition('/')[2]} clientId>",
        "registryName": "shared-models",
    }
    text = "".join(file.read_text("utf-8") for file in FILES)
    assert re.findall(r"\blist[A-Z]\w*", text) == ["listCallbackUrl"]
    assert "output" not in (FOLDER / "wake.bicep").read_text("utf-8")


def roles_of_the_page() -> Iterator[tuple[str, str, str]]:
    """Yield role, to whom and on what, from the table of docs/azure-workspace.md."""
    page = (ROOT / "docs" / "azure-workspace.md").read_text("utf-8")
    table = page.partition("| role | to | on | for |\n|---|---|---|---|\n")[2].partition("\n\n")[0]
    for line in table.splitlines():
        role, who, where, why = (cell.strip() for cell in line.strip("|").split("|"))
        assert why
        yield role, who, where


def test_the_roles_are_those_of_the_page_and_no_others() -> None:
    """The workspace's own identity has none: Azure gives it its roles (decision 54)."""
    names = {identifier: name for name, identifier in BUILT_IN.items()}
    resources = [*template(**ALL).resources()]
    symbols = {each.id: each.symbol for each in resources if each.type not in OTHER_VERSIONS}
    principals = {"DEPLOYER": "people"}
    assigned = []
    for each in resources:
        if each.type == "Microsoft.Authorization/roleAssignments":
            own = each.body["properties"]
            scope = symbols[each.id.rpartition("/providers/Microsoft.Authorization/")[0]]
            who = principals.get(own["principalId"]) or ("jobs" if "<id-" in own["principalId"] else "wake")
            assert own["principalType"] == ("ServicePrincipal" if who != "people" else None)
            assigned.append((names[own["roleDefinitionId"].rpartition("/")[2]], who, scope))
    assert sorted(assigned) == sorted(roles_of_the_page())
    assert len({each.id for each in resources}) == len(resources)


def test_the_people_may_be_named() -> None:
    own = [
        each.body["properties"]["principalId"]
        for each in template(peopleId="GROUP").resources()
        if "properties" in each.body and "principalId" in each.body["properties"]
    ]
    assert "GROUP" in own
    assert "DEPLOYER" not in own


def test_only_what_is_asked_for_is_made() -> None:
    usual, everything = declared(), declared(**ALL)
    assert everything.keys() - usual.keys() == {"registry", "onRegistry", "app", "newVersion"}


def test_days_are_given_to_a_new_vault_and_not_to_one_that_is_restored() -> None:
    """Azure refuses to change them; the days of blobs can change."""
    new, restored = (
        declared(keepDeletedVaultDays=30, recoverVault=recover)["vault"].body["properties"] for recover in (False, True)
    )
    assert (new["softDeleteRetentionInDays"], "createMode" in new) == (30, False)
    assert (restored["createMode"], "softDeleteRetentionInDays" in restored) == ("recover", False)


def test_a_new_version_of_a_dataset_wakes_the_schedule() -> None:
    found = declared(**ALL)
    assert found["newVersion"].id.startswith(f"{found['storage'].id}/providers/Microsoft.EventGrid/eventSubscriptions/")
    event = found["newVersion"].body["properties"]["filter"]
    workspace = found["workspace"].id
    container = f"azureml-blobstore-<{workspace.rpartition('/')[2]} workspaceId>"
    assert event["subjectBeginsWith"] == f"/blobServices/default/containers/{container}/blobs/nbops/datasets/"
    assert event["subjectEndsWith"] == "/dataset.toml"
    request = found["app"].body["properties"]["definition"]["actions"]["wake"]["inputs"]
    assert request["uri"] == (
        f"https://management.azure.com{workspace}/schedules/retrain/trigger?api-version=2024-01-01-preview"
    )
    assert request["authentication"]["type"] == "ManagedServiceIdentity"


def test_new_data_wakes_a_schedule_by_the_request_of_schedule_now() -> None:
    """What `nbops azure schedule now` sends, held against the workflow: the same schedule, version and body."""
    found = declared(**ALL)
    woken = found["app"].body["properties"]["definition"]["actions"]["wake"]["inputs"]
    place = Workspace(*(found["workspace"].id.split("/")[index] for index in (2, 4, 8)))
    sent: dict[str, Any] = {}

    class Client(RestClient):
        def __init__(self) -> None:
            """Without a connection."""

        def request(self, method: str, path: str, api_version: str, **options: Any) -> Any:
            sent.update(method=method, uri=f"https://management.azure.com{path}?api-version={api_version}", **options)
            return {"submissionId": "job"}

    assert schedule.start_now(Client(), place, str(ALL["wakeSchedule"]), datetime.now(UTC)) == "job"
    assert (woken["method"], woken["uri"], woken["body"].keys()) == (sent["method"], sent["uri"], sent["body"].keys())


@pytest.mark.proof
@pytest.mark.filterwarnings("ignore")  # the SDK warns about itself
def test_workspace_and_registry_have_the_shape_of_the_sdks_models() -> None:
    """For the other types there are no models here."""
    found = declared(**ALL)
    assert misfits(found["workspace"].body, "Workspace") == []
    assert misfits(found["registry"].body, "Registry") == []
    found["workspace"].body["properties"]["storageAcount"] = "x"
    assert misfits(found["workspace"].body, "Workspace") == ["Workspace.properties.storageAcount: unknown"]
