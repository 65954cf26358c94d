"""What `nbops azure up` made is found by its tags, told from the rest, and removed in an order that works."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest

from notebooks_lib import errors
from notebooks_lib.azure import managed_resources, rest_client
from notebooks_lib.azure.managed_resources import MANAGED_BY, STAGE, UP, ResourceGroup
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

    def put(path: str, stage: str = "", **more: object) -> str:
        tags = {MANAGED_BY: UP, STAGE: stage} if stage else {"team": "sales"}
        full = f"/subscriptions/{emulator.SUBSCRIPTION}/resourceGroups/{group}/providers/{path}"
        azure_server.put(full, {"tags": tags, "properties": {}, **more})
        return full

    return put


def read(group: str, stage: str = "dev") -> ResourceGroup:
    return managed_resources.read_group(rest_client.resource_manager(), emulator.SUBSCRIPTION, group, stage)


def names(resources: object) -> list[str]:
    return [each.name for each in resources]  # type: ignore[attr-defined]


def test_an_empty_group_holds_nothing(group: str) -> None:
    assert read(group) == ResourceGroup([], [], [])


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
    assert (names(read(group).ours), read(group).others) == (["insights"], [])


def test_removal_is_for_good_and_can_be_said_again(group: str, put: Put, azure_server: Emulated) -> None:
    put("Microsoft.MachineLearningServices/workspaces/w", "dev")
    put("Microsoft.Storage/storageAccounts/store", "dev")
    found = read(group)
    client, lines = rest_client.resource_manager(), list[str]()
    with (
        azure_server.fault("forbidden", method="DELETE", path="/storageAccounts/"),
        pytest.raises(errors.AzureError, match=r"^no permission for Microsoft\.Storage/storageAccounts/store"),
    ):
        managed_resources.remove(client, found.ours, tell=lines.append)
    assert lines[0] == "removing Microsoft.MachineLearningServices/workspaces/w"
    began = azure_server.record.position()
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
