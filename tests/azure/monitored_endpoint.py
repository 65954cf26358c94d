"""An endpoint with a slot that collects, as documents of the emulator: no process serves."""

from __future__ import annotations

from typing import Any

from notebooks_lib.azure.assets import data_asset
from notebooks_lib.azure.assets.data_asset import DataAsset
from notebooks_lib.azure.client.rest_client import RestClient
from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.azure.project_files.schedule_file_kinds import COLLECTIONS
from tests.azure.emulator import Emulated

FILE = """\
trigger:
  type: recurrence
  frequency: day
  interval: 1
  schedule: {hours: 3, minutes: 15}
create_monitor:
  alert_notification:
    emails: [someone@example.com]
"""
DEPLOYMENT = """\
data_collector:
  collections:
    model_inputs: {enabled: "true"}
    model_outputs: {enabled: "true"}
"""


def put_endpoint(server: Emulated, place: Workspace, name: str, traffic: dict[str, int], **tags: str) -> None:
    """Put an endpoint whose slots were put before."""
    properties = {"authMode": "Key", "traffic": traffic, "mirrorTraffic": {}, "provisioningState": "Succeeded"}
    server.put(
        f"{place.path}/onlineEndpoints/{name}", {"location": "westeurope", "tags": tags, "properties": properties}
    )


def put_slot(
    server: Emulated,
    client: RestClient,
    place: Workspace,
    endpoint: str,
    slot: str,
    *,
    mode: str = "Enabled",
    **tags: str,
) -> None:
    """Put a slot that collects, unless `mode` is Disabled, with the assets that it fills."""
    collections: dict[str, Any] = {}
    for collection in COLLECTIONS:
        asset = DataAsset(
            f"{endpoint}-{slot}-{collection}", "1", f"azureml://datastores/x/paths/{slot}/{collection}", {}
        )
        data_asset.create_asset(client, place, asset)
        data_id = data_asset.asset_id(place, asset.name, "1")
        collections[collection] = {"dataCollectionMode": mode, "dataId": data_id}
    properties = {
        "endpointComputeType": "Managed",
        "model": "m",
        "environmentId": "e",
        "instanceType": "Standard_DS2_v2",
        "scaleSettings": {"scaleType": "Default"},
        "dataCollector": {"collections": collections},
        "provisioningState": "Succeeded",
    }
    path = f"{place.path}/onlineEndpoints/{endpoint}/deployments/{slot}"
    server.put(
        path,
        {
            "sku": {"name": "Default", "capacity": 1},
            "tags": {f"nbops.slot.{name}": value for name, value in tags.items()},
            "properties": properties,
        },
    )
