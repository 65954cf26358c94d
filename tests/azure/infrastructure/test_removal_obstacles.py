"""What would stop a removal half-way is named before anything is removed."""

from __future__ import annotations

import uuid

import pytest

from notebooks_lib.azure.client import rest_client
from notebooks_lib.azure.infrastructure.managed_resources import ManagedResource
from notebooks_lib.azure.infrastructure.removal_obstacles import obstacles
from tests.azure import emulator
from tests.azure.emulator import Emulated

pytestmark = pytest.mark.tracking


@pytest.fixture
def group(azure_workspace: object) -> str:
    return f"/subscriptions/{emulator.SUBSCRIPTION}/resourceGroups/g-{uuid.uuid4().hex[:8]}"


def resource(group: str, kind: str, name: str) -> ManagedResource:
    return ManagedResource(f"{group}/providers/{kind}/{name}", kind, name)


def test_locks_on_the_group_and_on_what_would_be_removed(group: str, azure_server: Emulated) -> None:
    ours = [resource(group, "Microsoft.Storage/storageAccounts", "Store")]
    client, end = rest_client.resource_manager(), "providers/Microsoft.Authorization/locks"
    assert obstacles(client, group, ours) == []
    azure_server.put(f"{group}/providers/Microsoft.Web/sites/shop/{end}/theirs", {"properties": {}})
    assert obstacles(client, group, ours) == []
    azure_server.put(f"{group}/providers/Microsoft.Storage/storageAccounts/store/{end}/keep", {"properties": {}})
    azure_server.put(f"{group}/{end}/all", {"properties": {"level": "ReadOnly"}})
    assert obstacles(client, group, ours) == [
        "lock 'keep' on Microsoft.Storage/storageAccounts/store",
        "lock 'all' on the resource group",
    ]


def test_rights_that_are_missing_for_one_type_of_several(group: str, azure_server: Emulated) -> None:
    path = f"{group}/providers/Microsoft.Authorization/permissions"
    only = [{"actions": ["Microsoft.MachineLearningServices/*", "*/read"], "notActions": []}]
    azure_server.put(path, {"list": {"value": only}})
    ours = [
        resource(group, "Microsoft.MachineLearningServices/workspaces", "w"),
        resource(group, "Microsoft.KeyVault/vaults", "one"),
        resource(group, "Microsoft.KeyVault/vaults", "two"),
    ]
    client = rest_client.resource_manager()
    assert obstacles(client, group, ours) == [
        "no permission for Microsoft.KeyVault/vaults/delete (the role Contributor has it)"
    ]
    with azure_server.fault("forbidden", path="/permissions$"):
        assert obstacles(client, group, ours) == []
