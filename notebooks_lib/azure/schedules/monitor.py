"""Monitors of online endpoints: production/azure/monitor.yml, completed for the slot that serves, is a schedule.

Its signals compare what the slot collects with the rows of the training. The SDK's own would compare with an earlier
week, alert nobody and take every model for a classification.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from notebooks_lib import errors
from notebooks_lib.azure.client.rest_client import RestClient
from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.azure.endpoints import online_endpoint
from notebooks_lib.azure.endpoints.online_deployment import API_VERSION
from notebooks_lib.azure.endpoints.online_endpoint import OnlineEndpoint, endpoint_path
from notebooks_lib.azure.project_files import file_check, file_loading, schedule_file_kinds
from notebooks_lib.azure.project_files.schedule_file_kinds import COLLECTIONS
from notebooks_lib.azure.schedules import schedule_body

Task = Literal["classification", "regression"]


@dataclass(frozen=True)
class ServingSlot:
    """The slot of an endpoint that has most of the traffic."""

    endpoint: str
    name: str
    id: str
    """Of the deployment."""
    tags: Mapping[str, str]
    """Of the deployment: they say which version it holds."""
    collected: Mapping[str, str]
    """Collection -> id of the data asset that it fills, of those that are switched on."""


@dataclass(frozen=True)
class Comparison:
    """What a monitor compares the slot's data with."""

    slot: ServingSlot
    reference: str
    """Id of the data asset with the rows of the training."""
    target: str
    """The column of the true values in it."""
    task: Task


def monitor_name(endpoint: str) -> str:
    """Return the name of the monitor of an endpoint."""
    return f"{endpoint}-monitor"


def serving_slot(client: RestClient, workspace: Workspace, endpoint: OnlineEndpoint) -> ServingSlot | None:
    """Return the slot that serves; None if none has traffic."""
    name = max(endpoint.traffic, key=lambda slot: endpoint.traffic[slot], default="")
    if not name:
        return None
    path, what = f"{endpoint_path(workspace, endpoint.name)}/deployments/{name}", f"slot {name} of {endpoint.name}"
    document = client.request("GET", path, API_VERSION, what=what)
    collections = ((document["properties"].get("dataCollector") or {}).get("collections") or {}).items()
    collected = {
        collection: str(own.get("dataId") or "")
        for collection, own in collections
        if str(own.get("dataCollectionMode")).lower() == "enabled" and own.get("dataId")
    }
    return ServingSlot(endpoint.name, name, path, dict(document.get("tags") or {}), collected)


def find_endpoint(client: RestClient, workspace: Workspace, name: str) -> OnlineEndpoint | None:
    """Return an endpoint; None if there is none of that name."""
    return online_endpoint.find_endpoint(client, workspace, name)


def check_collects(slot: ServingSlot, file: Path) -> None:
    """Raise UsageError if a slot does not collect what the signals compare."""
    if missing := [name for name in COLLECTIONS if name not in slot.collected]:
        raise errors.UsageError(
            f"{file.name}: slot {slot.name} of endpoint {slot.endpoint} does not collect {' and '.join(missing)}: write"
            f' data_collector: in deployment.yml, with {missing[0]}: {{enabled: "true"}} below collections:, and deploy'
            " again: nbops promote --live"
        )


def monitor_values(values: Mapping[str, Any], comparison: Comparison) -> dict[str, Any]:
    """Return the values of monitor.yml completed for a slot: what `az ml schedule create --file` takes."""
    slot, own = comparison.slot, dict(values.get("create_monitor") or {})
    signals = own.get("monitoring_signals") or schedule_file_kinds.default_signals()
    inputs, outputs = (f"azureml:{slot.collected[name]}" for name in COLLECTIONS)
    reference = f"azureml:{comparison.reference}"
    own |= {
        "compute": schedule_file_kinds.completed_compute(own.get("compute") or {}),
        "monitoring_target": {"ml_task": comparison.task, "endpoint_deployment_id": f"azureml:{slot.id}"},
        "monitoring_signals": {
            name: schedule_file_kinds.completed_signal(signal, inputs, outputs, reference, comparison.target)
            for name, signal in signals.items()
        },
    }
    return {**values, "name": monitor_name(slot.endpoint), "create_monitor": own}


def monitor_content(completed: Mapping[str, Any]) -> str:
    """Return the digest of what a monitor compares."""
    return schedule_body.digest(completed["create_monitor"])


def monitor_action(file: Path, completed: Mapping[str, Any], task: Task, environ: Mapping[str, str]) -> dict[str, Any]:
    """Return what is sent of a monitor, as the SDK would send it, which takes seconds to import.

    But for one thing: the SDK calls every prediction drift one of a classification.
    Raises UsageError for what the SDK refuses.
    """
    try:
        sent = file_loading.request_body("monitor", file, {"tags": {}, **completed}, {})
    except Exception as error:
        raise file_check.sdk_refusal(file, error, environ) from error
    action: dict[str, Any] = _without_prefix(sent["properties"]["action"])
    for signal in action["monitorDefinition"]["signals"].values():
        if "modelType" in signal:
            signal["modelType"] = task
    return action


def _without_prefix(value: Any) -> Any:
    """Return a body whose ids are those of the resource manager: `azureml:` stands before them in files only."""
    if isinstance(value, dict):
        return {key: _without_prefix(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_without_prefix(each) for each in value]
    return value.removeprefix("azureml:") if isinstance(value, str) else value
