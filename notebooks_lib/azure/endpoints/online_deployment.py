"""Deployments of online endpoints, by plain requests: made, found, listed, deleted, and the logs of their containers.

A deployment is a slot of an endpoint. Its body is what the SDK would send for the same files, without the SDK.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote

from notebooks_lib import errors
from notebooks_lib.azure.client.rest_client import RestClient
from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.azure.endpoints.online_endpoint import endpoint_path

API_VERSION = "2023-04-01-preview"
SCRIPT = "score.py"
Container = Literal["StorageInitializer", "InferenceServer"]
CONTAINERS: tuple[Container, ...] = ("StorageInitializer", "InferenceServer")
"""The containers of a deployment: the first fetches the model, the second serves it."""
PATIENCE = 300.0
"""Seconds for which no look at a deployment that is made may succeed: no network, a token that has expired."""
DELETE_WAIT = 900.0
"""Seconds in which a deployment must be deleted."""


@dataclass(frozen=True)
class OnlineDeployment:
    """A deployment as the workspace knows it."""

    name: str
    state: str
    """Azure's own word, such as Succeeded."""
    model: str
    """The id of the model's version, as the next two."""
    environment: str
    code: str
    tags: Mapping[str, str]
    created: str
    document: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """The answer of Azure."""

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> OnlineDeployment:
        """Return the deployment of one of Azure's documents."""
        own = document["properties"]
        return cls(
            name=str(document["name"]),
            state=str(own.get("provisioningState") or ""),
            model=str(own.get("model") or ""),
            environment=str(own.get("environmentId") or ""),
            code=str((own.get("codeConfiguration") or {}).get("codeId") or ""),
            tags=dict(document.get("tags") or {}),
            created=str((document.get("systemData") or {}).get("createdAt") or ""),
            document=document,
        )


@dataclass(frozen=True)
class DeployedParts:
    """What a deployment is made of, by the ids of the workspace."""

    model: str
    environment: str
    code: str
    variables: Mapping[str, str]
    """Environment variables of the scoring code, beside those of the file."""
    tags: Mapping[str, str]
    collections: Mapping[str, str]
    """Collection of the data collector -> the id of the data asset that it fills."""


def list_deployments(client: RestClient, workspace: Workspace, endpoint: str) -> Iterator[OnlineDeployment]:
    """Yield the deployments of an endpoint."""
    path, what = f"{endpoint_path(workspace, endpoint)}/deployments", f"deployments of endpoint {endpoint}"
    for document in client.pages(path, API_VERSION, what=what):
        yield OnlineDeployment.of(document)


def find_deployment(client: RestClient, workspace: Workspace, endpoint: str, name: str) -> OnlineDeployment | None:
    """Return a deployment; None if there is none of that name."""
    try:
        path = _path(workspace, endpoint, name)
        return OnlineDeployment.of(client.request("GET", path, API_VERSION, what=_what(endpoint, name)))
    except errors.AzureError as error:
        if error.status == 404:
            return None
        raise


def differing_keys(deployment: OnlineDeployment, body: Mapping[str, Any]) -> list[str]:
    """Return the keys of deployment.yml for which a body, of `deployment_body`, says other than a deployment.

    Azure fills in what a body leaves out: that is no difference.
    """
    now, wanted = deployment.document["properties"], body["properties"]
    keys = [key for key in wanted if key not in _PARTS and not _within(wanted[key], now.get(key))]
    more = [] if _within(body["sku"], deployment.document.get("sku")) else ["instanceCount"]
    return sorted(re.sub(r"([A-Z])", r"_\1", key).lower() for key in keys + more)


def deployment_body(location: str, values: Mapping[str, Any], parts: DeployedParts) -> dict[str, Any]:
    """Return what creates a deployment, as the SDK would send it for the `values` of its files."""
    kubernetes = values["type"] == "kubernetes"
    variables = {name: str(value) for name, value in (values.get("environment_variables") or {}).items()}
    properties: dict[str, Any] = {
        "endpointComputeType": "Kubernetes" if kubernetes else "Managed",
        "model": parts.model,
        "environmentId": parts.environment,
        "codeConfiguration": {"codeId": parts.code, "scoringScript": SCRIPT},
        "environmentVariables": {**variables, **parts.variables},
        "appInsightsEnabled": _flag(values["app_insights_enabled"]),
        "properties": dict(values.get("properties") or {}),
    }
    optional = {
        "description": values.get("description"),
        "instanceType": values.get("instance_type"),
        "requestSettings": _requests(values.get("request_settings")),
        "livenessProbe": _probe(values.get("liveness_probe")),
        "readinessProbe": _probe(values.get("readiness_probe")),
        "scaleSettings": _scale(values.get("scale_settings")),
        "containerResourceRequirements": _resources(values.get("resources")),
        "dataCollector": _collector(values.get("data_collector"), parts.collections),
        "egressPublicNetworkAccess": values.get("egress_public_network_access"),
    }
    properties |= {key: value for key, value in optional.items() if value is not None}
    if values.get("private_network_connection") is not None and _flag(values["private_network_connection"]):
        properties["privateNetworkConnection"] = True
        properties["properties"]["private-network-connection"] = True
    return {
        "location": location,
        "tags": {**(values.get("tags") or {}), **parts.tags},
        "sku": {"name": "Default", "capacity": int(values["instance_count"])},
        "properties": properties,
    }


def create_deployment(
    client: RestClient,
    workspace: Workspace,
    endpoint: str,
    name: str,
    body: Mapping[str, Any],
    *,
    wait_seconds: float,
    on_poll: Callable[[str], None] = lambda status: None,
) -> OnlineDeployment:
    """Create a deployment and wait until it serves. Raises AzureError when it fails, or soon after `wait_seconds`.

    It goes on waiting while Azure cannot be asked, for PATIENCE seconds.
    """
    options: dict[str, Any] = {"wait_seconds": wait_seconds, "on_poll": on_poll, "what": _what(endpoint, name)}
    path = _path(workspace, endpoint, name)
    return OnlineDeployment.of(client.operation("PUT", path, API_VERSION, body=body, patience=PATIENCE, **options))


def delete_deployment(
    client: RestClient, workspace: Workspace, endpoint: str, name: str, *, wait_seconds: float = DELETE_WAIT
) -> None:
    """Delete a deployment and wait until it is gone; one that is gone stays gone."""
    path = _path(workspace, endpoint, name)
    client.operation("DELETE", path, API_VERSION, what=_what(endpoint, name), wait_seconds=wait_seconds)


def container_log(
    client: RestClient, workspace: Workspace, endpoint: str, name: str, container: Container, lines: int
) -> list[str]:
    """Return the last lines that a container of a deployment wrote; none before there is a container."""
    path, what = f"{_path(workspace, endpoint, name)}/getLogs", f"the log of {_what(endpoint, name)}"
    body = {"tail": lines, "containerType": container}
    answer = client.request("POST", path, API_VERSION, what=what, body=body) or {}
    return str(answer.get("content") or "").rstrip("\n").splitlines()[-lines:]


def _path(workspace: Workspace, endpoint: str, name: str) -> str:
    return f"{endpoint_path(workspace, endpoint)}/deployments/{quote(name, safe='')}"


_PARTS = ("model", "environmentId", "codeConfiguration", "endpointComputeType")
"""What of a deployment is not from deployment.yml."""


def _within(wanted: object, now: object) -> bool:
    """Return True if all that is wanted is there, at any depth."""
    if isinstance(wanted, Mapping):
        return isinstance(now, Mapping) and all(_within(value, now.get(key)) for key, value in wanted.items())
    return str(wanted).casefold() == str(now).casefold()


def _what(endpoint: str, name: str) -> str:
    return f"slot {name} of endpoint {endpoint}"


def _flag(value: object) -> bool:
    """Return a truth value; a variable fills in a text."""
    return value if isinstance(value, bool) else str(value).lower() == "true"


def duration(seconds: float) -> str:
    """Return seconds in ISO 8601, such as PT1M30S."""
    milliseconds = round(1000 * seconds)
    days, milliseconds = divmod(milliseconds, 86_400_000)
    hours, milliseconds = divmod(milliseconds, 3_600_000)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    whole, part = divmod(milliseconds, 1000)
    second = f"{whole}.{part:03d}".rstrip("0") if part else str(whole)
    time = "".join(f"{number}{unit}" for number, unit in ((hours, "H"), (minutes, "M")) if number)
    time += f"{second}S" if whole or part else ""
    return f"P{f'{days}D' if days else ''}{f'T{time}' if time else ''}"


def _durations(values: Mapping[str, Any], names: Mapping[str, tuple[str, float]]) -> dict[str, str]:
    """Return durations under Azure's names, from numbers in units of a second; 0 is left to Azure."""
    return {
        azure: duration(int(values[name]) * unit) for name, (azure, unit) in names.items() if int(values.get(name) or 0)
    }


def _requests(values: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if values is None:
        return None
    times = {"request_timeout_ms": ("requestTimeout", 0.001), "max_queue_wait_ms": ("maxQueueWait", 0.001)}
    most = values.get("max_concurrent_requests_per_instance")
    own: dict[str, Any] = {} if most is None else {"maxConcurrentRequestsPerInstance": int(most)}
    return {**_durations(values, times), **own}


def _probe(values: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if values is None:
        return None
    times = {"initial_delay": ("initialDelay", 1.0), "period": ("period", 1.0), "timeout": ("timeout", 1.0)}
    counts = {"failure_threshold": "failureThreshold", "success_threshold": "successThreshold"}
    own = {azure: int(values[name]) for name, azure in counts.items() if values.get(name) is not None}
    return {**_durations(values, times), **own}


def _scale(values: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if values is None:
        return None
    if re.sub("_", "", str(values["type"])).lower() == "default":
        return {"scaleType": "Default"}
    names = {"min_instances": "minInstances", "max_instances": "maxInstances"}
    names["target_utilization_percentage"] = "targetUtilizationPercentage"
    own = {azure: int(values[name]) for name, azure in names.items() if values.get(name) is not None}
    return {"scaleType": "TargetUtilization", **own, **_durations(values, {"polling_interval": ("pollingInterval", 1)})}


def _resources(values: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if values is None:
        return None
    names = {"requests": "containerResourceRequests", "limits": "containerResourceLimits"}
    return {azure: dict(values[name]) for name, azure in names.items() if values.get(name) is not None}


def _collector(values: Mapping[str, Any] | None, assets: Mapping[str, str]) -> dict[str, Any] | None:
    if values is None:
        return None
    collections: dict[str, dict[str, Any]] = {}
    for name, collection in values["collections"].items():
        mode = "enabled" if _flag(collection["enabled"]) else "disabled"
        collections[name] = {"dataCollectionMode": mode, **({"dataId": assets[name]} if name in assets else {})}
        if values.get("sampling_rate") is not None:
            collections[name]["samplingRate"] = float(values["sampling_rate"])
        if collection.get("client_id") is not None:
            collections[name]["clientId"] = str(collection["client_id"])
    body: dict[str, Any] = {"collections": collections}
    if values.get("rolling_rate") is not None:
        body["rollingRate"] = str(values["rolling_rate"]).lower()
    if (logged := values.get("request_logging")) is not None:
        body["requestLogging"] = {"captureHeaders": list(logged.get("capture_headers") or ())}
    return body
