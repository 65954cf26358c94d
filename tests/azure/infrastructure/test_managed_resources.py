"""What `nbops azure up` made is found by its tags, kept apart from the rest, and removed in an order that works."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest

from notebooks_lib import errors
from notebooks_lib.azure.client import rest_client
from notebooks_lib.azure.infrastructure import managed_resources
from notebooks_lib.azure.infrastructure.managed_resources import MANAGED_BY, PREFIX, REGISTRY, STAGE, UP, ResourceGroup
from tests.azure import emulator
from tests.azure.emulator import Emulated

pytestmark = pytest.mark.tracking

Put = Callable[..., str]


@pytest.fixture
def group(azure_workspace: object) -> str:
    return f"g-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def put(group: str, azure_server: Emulated) -> Put:
    """Keep a resource in the group, as `up` would tag it for a stage; without a stage, as somebody else's."""

    def put(path: str, stage: str = "", prefix: str = "", **more: object) -> str:
        tags = {MANAGED_BY: UP, STAGE: stage, **({PREFIX: prefix} if prefix else {})} if stage else {"team": "sales"}
        full = f"/subscriptions/{emulator.SUBSCRIPTION}/resourceGroups/{group}/providers/{path}"
        azure_server.put(full, {"tags": tags, "properties": {}, **more})
        return full

    return put


def read(group: str, stage: str = "dev", prefix: str = "") -> ResourceGroup:
    return managed_resources.read_group(rest_client.resource_manager(), emulator.SUBSCRIPTION, group, stage, prefix)


def names(resources: object) -> list[str]:
    return [each.name for each in resources]  # type: ignore[attr-defined]


def test_an_empty_group_holds_nothing(group: str) -> None:
    assert read(group) == ResourceGroup([], [], [], [], [])


def test_ours_come_in_the_order_of_their_removal_and_apart_from_the_rest(group: str, put: Put) -> None:
    put("Microsoft.ManagedIdentity/userAssignedIdentities/id", "dev")
    put("Microsoft.KeyVault/vaults/vault", "dev")
    workspace = put("Microsoft.MachineLearningServices/workspaces/w", "dev")
    put("Microsoft.Logic/workflows/app", "dev")
    put("Microsoft.Storage/storageAccounts/teststore", "test")
    put("Microsoft.MachineLearningServices/workspaces/w/onlineEndpoints/houses")
    put("Microsoft.Web/sites/shop")

    found = read(group)
    assert names(found.ours) == ["app", "w", "vault", "id"]
    assert names(found.inside) == ["houses"]
    assert [str(each) for each in found.others] == ["Microsoft.Web/sites/shop"]
    assert [each.name for each in found.ours if each.stays_deleted] == ["vault"]
    assert found.ours[1].id == workspace
    assert names(read(group, "test").ours) == ["teststore"]


def test_what_another_project_made_in_the_group_is_not_ours(group: str, put: Put) -> None:
    put("Microsoft.MachineLearningServices/workspaces/north", "dev", "north")
    put("Microsoft.MachineLearningServices/workspaces/south", "dev", "south")
    put("Microsoft.MachineLearningServices/workspaces/older", "dev")
    found = read(group, "dev", "south")
    assert (names(found.ours), found.others) == (["south"], [])
    assert found.deployments == ["stage dev", "stage dev with prefix north"]
    assert names(read(group).ours) == ["older"]


def test_an_organisation_registry_belongs_to_no_stage(group: str, put: Put) -> None:
    put("Microsoft.MachineLearningServices/workspaces/w", "dev")
    put("Microsoft.MachineLearningServices/registries/shared", tags={MANAGED_BY: UP, REGISTRY: "shared"})
    found = read(group)
    assert (names(found.ours), names(found.registries), found.others) == (["w"], ["shared"], [])


def test_a_topic_goes_with_the_account_whose_events_it_has(group: str, put: Put) -> None:
    """Defender for Storage makes one, without tags."""
    ours = put("Microsoft.Storage/storageAccounts/ours", "dev")
    theirs = put("Microsoft.Storage/storageAccounts/theirs", "dev", "north")
    put("Microsoft.EventGrid/systemTopics/by-defender", properties={"source": ours.upper()})
    put("Microsoft.EventGrid/systemTopics/by-defender-for-north", properties={"source": theirs})
    put("Microsoft.EventGrid/systemTopics/of-the-shop", properties={"source": "/subscriptions/s/shop"})
    found = read(group)
    assert (names(found.ours), names(found.others)) == (["ours", "by-defender"], ["of-the-shop"])


def test_a_type_of_the_templates_own_is_removed_by_the_newest_version_of_its_api(
    group: str, put: Put, azure_server: Emulated
) -> None:
    types = [{"resourceType": "virtualNetworks", "apiVersions": ["2024-05-01", "2023-01-01", "2025-01-01-preview"]}]
    provider = "/providers/Microsoft.Network"
    azure_server.put(provider, {"resourceTypes": types})
    put("Microsoft.KeyVault/vaults/vault", "dev")
    put("Microsoft.Network/virtualNetworks/network", "dev")
    put("Microsoft.Network/virtualNetworks/refused-once", "dev")
    put("Microsoft.Storage/storageAccounts/store", "dev")
    found = read(group)
    assert names(found.ours) == ["store", "network", "refused-once", "vault"]
    assert found.ours[1].api_version == "2024-05-01"
    began = azure_server.record.position()
    with azure_server.fault("conflict", method="DELETE", path="/network$"):  # until what needs it is gone
        managed_resources.remove(rest_client.resource_manager(), found.ours)
    assert read(group).ours == []
    removed = [seen for seen in azure_server.record.since(began) if seen.method == "DELETE"]
    assert [seen.path.rpartition("/")[2] for seen in removed] == [
        "store",
        "network",
        "refused-once",
        "vault",
        "network",
    ]
    assert "api-version=2024-05-01" in removed[-1].query

    azure_server.put(provider, {"resourceTypes": []})
    put("Microsoft.Network/virtualNetworks/network", "dev")
    with pytest.raises(
        errors.AzureError, match=r"no version of the API for Microsoft\.Network/virtualNetworks is known"
    ):
        read(group)


def test_what_application_insights_makes_by_itself_goes_with_the_last_stage(group: str, put: Put) -> None:
    put("Microsoft.Insights/components/insights", "dev")
    put("microsoft.alertsmanagement/smartDetectorAlertRules/Failure Anomalies - insights")
    put("microsoft.insights/actiongroups/Application Insights Smart Detection")
    found = read(group)
    assert found.others == []
    rule, alarm, insights = names(found.ours)
    assert (rule, alarm, insights) == (
        "Failure Anomalies - insights",
        "Application Insights Smart Detection",
        "insights",
    )
    put("Microsoft.Insights/components/others", "test")
    put("microsoft.alertsmanagement/smartDetectorAlertRules/Failure Anomalies - others")
    assert (names(read(group).ours), read(group).others) == (["Failure Anomalies - insights", "insights"], [])


def test_what_is_only_named_like_what_application_insights_makes_stays(group: str, put: Put) -> None:
    put("Microsoft.Insights/components/insights", "dev")
    put("Microsoft.Compute/virtualMachines/Failure Anomalies - x")
    put("microsoft.alertsmanagement/smartDetectorAlertRules/Failure Anomalies - of the shop")
    put("microsoft.insights/actiongroups/Application Insights Smart Detection 2")
    found = read(group)
    assert names(found.ours) == ["insights"]
    assert len(found.others) == 3


def test_before_a_workspace_go_the_roles_of_its_identity_on_the_group(
    group: str, put: Put, azure_server: Emulated
) -> None:
    put("Microsoft.MachineLearningServices/workspaces/w", "dev", identity={"principalId": "who"})
    path = f"/subscriptions/{emulator.SUBSCRIPTION}/resourceGroups/{group}/providers/Microsoft.Authorization/roleAssignments"
    for name, who in (("1", "who"), ("2", "somebody else")):
        azure_server.put(f"{path}/{name}", {"properties": {"principalId": who}})
    client, lines = rest_client.resource_manager(), list[str]()
    began = azure_server.record.position()
    managed_resources.remove(client, read(group).ours)
    removed = [seen.path.rpartition("/")[2] for seen in azure_server.record.since(began) if seen.method == "DELETE"]
    assert removed == ["1", "w"], "a `down` that is killed in between finds them again"
    assert [each["name"] for each in client.pages(path, "2022-04-01", what="roles")] == ["2"]

    put("Microsoft.MachineLearningServices/workspaces/w", "dev", identity={"principalId": "somebody else"})
    with azure_server.fault("forbidden", method="DELETE", path="/roleAssignments/"):
        managed_resources.remove(client, read(group).ours, tell=lines.append)
    assert lines[1].startswith("a role of the workspace stays on the resource group: no permission for")


def test_removal_is_for_good_and_can_be_said_again(group: str, put: Put, azure_server: Emulated) -> None:
    put("Microsoft.MachineLearningServices/workspaces/w", "dev")
    put("Microsoft.Storage/storageAccounts/store", "dev")
    found = read(group)
    client, lines = rest_client.resource_manager(), list[str]()
    began = azure_server.record.position()
    with (
        azure_server.fault("forbidden", method="DELETE", path="/storageAccounts/"),
        pytest.raises(errors.AzureError, match=r"^no permission for Microsoft\.Storage/storageAccounts/store"),
    ):
        managed_resources.remove(client, found.ours, tell=lines.append)
    assert lines[0] == "removing Microsoft.MachineLearningServices/workspaces/w"
    assert names(read(group).ours) == ["store"]

    managed_resources.remove(client, found.ours)
    assert read(group).ours == []
    deleted = {
        seen.path.rpartition("/")[2]: seen for seen in azure_server.record.since(began) if seen.method == "DELETE"
    }
    assert "forceToPurge=true" in deleted["w"].query
    assert "forceToPurge" not in deleted["store"].query


def test_a_removal_that_never_ends_is_waited_for_only_so_long(group: str, put: Put, azure_server: Emulated) -> None:
    put("Microsoft.MachineLearningServices/workspaces/w", "dev")
    with (
        azure_server.fault("operation_never_ends", method="DELETE"),
        pytest.raises(errors.AzureError, match=r"workspaces/w is still InProgress .* Azure goes on with it"),
    ):
        managed_resources.remove(rest_client.resource_manager(), read(group).ours, wait_seconds=0.1)
