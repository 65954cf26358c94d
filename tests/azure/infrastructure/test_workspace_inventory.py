"""What there is in a workspace, what costs money while idle, within three seconds and by one failure as one line."""

from __future__ import annotations

import time
from typing import Any

import pytest

from notebooks_lib import errors
from notebooks_lib.azure.client import http_pipeline, rest_client, workspace
from notebooks_lib.azure.infrastructure import workspace_inventory
from notebooks_lib.azure.infrastructure.workspace_inventory import InventoryItem
from notebooks_lib.tags import Tag
from tests.azure.emulator import Emulated
from tests.azure.fixtures import AzureProject, WithWorkspace

pytestmark = pytest.mark.tracking

CLUSTER = {"vmSize": "STANDARD_DS3_V2", "scaleSettings": {"minNodeCount": 0, "maxNodeCount": 4}}
KEPT = CLUSTER | {"scaleSettings": {"minNodeCount": 2, "maxNodeCount": 4}}
HERE = {"provisioningState": "Succeeded"}


@pytest.fixture
def place(azure_workspace: AzureProject, with_workspace: WithWorkspace, azure_server: Emulated) -> workspace.Workspace:
    """A workspace of its own with one of everything."""
    registry = "/subscriptions/S/resourceGroups/G/providers/Microsoft.ContainerRegistry/registries/images"
    place = workspace.find_workspace(with_workspace(azure_workspace.settings, containerRegistry=registry))

    def put(path: str, properties: dict[str, Any], **more: Any) -> None:
        azure_server.put(f"{place.path}/{path}", {"properties": HERE | properties, **more})

    put("computes/idle", {"computeType": "AmlCompute", "properties": CLUSTER})
    put("computes/kept", {"computeType": "AmlCompute", "properties": KEPT})
    put(
        "computes/mine", {"computeType": "ComputeInstance", "properties": {"vmSize": "STANDARD_A2", "state": "Running"}}
    )
    put("computes/off", {"computeType": "ComputeInstance", "properties": {"vmSize": "STANDARD_A2", "state": "Stopped"}})
    put(
        "computes/bad", {"computeType": "ComputeInstance", "properties": {"vmSize": "STANDARD_A2", "state": "Unusable"}}
    )
    put("computes/k8s", {"computeType": "Kubernetes", "resourceId": "/subscriptions/S/x/aks", "properties": {}})
    put("onlineEndpoints/houses", {"traffic": {"blue": 90, "green": 10}}, tags={"nbops.model": "houses"})
    size = {"instanceType": "Standard_DS3_v2", "endpointComputeType": "Managed"}
    put("onlineEndpoints/houses/deployments/blue", size, sku={"capacity": 3})
    put("onlineEndpoints/empty", {"traffic": {}})
    on_cluster = size | {"endpointComputeType": "Kubernetes", "instanceType": "defaultinstancetype"}
    put("onlineEndpoints/k8s/deployments/blue", on_cluster, sku={"capacity": 1})
    put("onlineEndpoints/k8s", {"traffic": {"blue": 100}, "compute": f"{place.path}/computes/aks"})
    put("batchEndpoints/nightly", {})
    put("schedules/retrain", {"isEnabled": True, "tags": {"nbops.schedule": "retrain.yml"}})
    put("schedules/old", {"isEnabled": False})
    tags = {Tag.NOTEBOOK: "experimentation/n.ipynb"}
    put("jobs/runs", {"status": "Running", "tags": tags, "computeId": "azureml:/x/computes/idle"})
    put("jobs/done", {"status": "Completed", "tags": tags})
    return place


def items(place: workspace.Workspace) -> list[InventoryItem]:
    return workspace_inventory.list_items(rest_client.resource_manager(http_pipeline.QUICK), place)


def test_all_there_is_and_what_it_costs_while_idle(place: workspace.Workspace) -> None:
    began = time.monotonic()
    found = items(place)
    assert time.monotonic() - began < 3

    assert (found[0].kind, found[0].name) == ("workspace", place.name)
    assert {(each.kind, each.name, each.state) for each in found[1:] if not each.idle_cost} == {
        ("cluster", "idle", "Succeeded, 0 to 4 of STANDARD_DS3_V2"),
        ("compute instance", "off", "Stopped"),
        ("online endpoint", "houses", "Succeeded, blue 90 %, green 10 %"),
        ("online endpoint", "empty", "Succeeded, no traffic"),
        ("online endpoint", "k8s", "Succeeded, blue 100 %"),
        ("online deployment", "k8s/blue", "Succeeded, 1 on aks"),
        ("batch endpoint", "nightly", "Succeeded"),
        ("schedule", "retrain", "on"),
        ("schedule", "old", "off"),
        ("job", "runs", "Running on idle: experimentation/n.ipynb"),
    }
    assert {(each.name, each.idle_cost) for each in found if each.idle_cost} == {
        ("images", "its tier, by the day"),
        ("kept", "2 of STANDARD_DS3_V2 at all times: min_instances is 2"),
        ("mine", "1 of STANDARD_A2 until it is stopped"),
        ("bad", "1 of STANDARD_A2 until it is stopped"),
        ("k8s", "aks, billed as its own resource"),
        ("houses/blue", "3 of Standard_DS3_v2, with or without requests"),
    }
    assert [each.name for each in found if each.by_nbops] == ["houses", "retrain", "runs"]


def test_an_endpoint_that_is_deleted_meanwhile_is_no_failure(
    place: workspace.Workspace, azure_server: Emulated
) -> None:
    with azure_server.fault("not_found", path="/onlineEndpoints/houses/deployments$"):
        assert "houses/blue" not in [each.name for each in items(place)]


def test_one_list_that_cannot_be_read_is_one_line(place: workspace.Workspace, azure_server: Emulated) -> None:
    with (
        azure_server.fault("forbidden", path="/schedules$"),
        pytest.raises(errors.AzureError, match=r"^no permission for schedules of "),
    ):
        items(place)
