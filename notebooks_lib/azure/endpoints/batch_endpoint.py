"""Batch endpoints of a workspace and their deployments, by plain requests: made, found, deleted, asked for a job."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from notebooks_lib import errors
from notebooks_lib.azure.client import clouds
from notebooks_lib.azure.client.rest_client import RestClient
from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.azure.endpoints.online_deployment import duration
from notebooks_lib.azure.jobs import jobs
from notebooks_lib.azure.jobs.jobs import Job

ENDPOINT_VERSION = "2023-10-01"
DEPLOYMENT_VERSION = "2024-01-01-preview"
WAIT = 900.0
"""Seconds in which an endpoint or a deployment must be made or deleted."""
OUTPUT = "score"
"""The name that batch deployments of models give to their output."""
RETRIES = {"max_retries": 3, "timeout": 3600}
"""How often a worker tries its files again, and the seconds for each try. Azure's own default is 30 s."""
_LEVELS = {"debug": "Debug", "info": "Info", "warning": "Warning"}


@dataclass(frozen=True)
class BatchEndpoint:
    """An endpoint as the workspace knows it."""

    name: str
    scoring_uri: str
    default: str
    """The deployment that scores unless another is named; empty if there is none."""
    tags: Mapping[str, str]

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> BatchEndpoint:
        """Return the endpoint of one of Azure's documents."""
        own = document["properties"]
        return cls(
            name=str(document["name"]),
            scoring_uri=str(own.get("scoringUri") or ""),
            default=str((own.get("defaults") or {}).get("deploymentName") or ""),
            tags=dict(document.get("tags") or {}),
        )


@dataclass(frozen=True)
class BatchDeployment:
    """A deployment as the workspace knows it."""

    name: str
    state: str
    """Azure's own word, such as Succeeded."""
    tags: Mapping[str, str]

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> BatchDeployment:
        """Return the deployment of one of Azure's documents."""
        state = str(document["properties"].get("provisioningState") or "")
        return cls(str(document["name"]), state, dict(document.get("tags") or {}))


@dataclass(frozen=True)
class BatchParts:
    """What a deployment is made of, by the ids of the workspace."""

    model: str
    environment: str
    code: str
    script: str
    compute: str
    variables: Mapping[str, str]
    tags: Mapping[str, str]


def find_batch_endpoint(client: RestClient, workspace: Workspace, name: str) -> BatchEndpoint | None:
    """Return an endpoint; None if there is none of that name."""
    what = _what(name)
    document = _find(client, workspace, _path(workspace, name), ENDPOINT_VERSION, what)
    return None if document is None else BatchEndpoint.of(document)


def list_batch_endpoints(client: RestClient, workspace: Workspace) -> Iterator[BatchEndpoint]:
    """Yield all batch endpoints of a workspace."""
    path, what = f"{workspace.path}/batchEndpoints", f"batch endpoints of workspace {workspace}"
    for document in client.pages(path, ENDPOINT_VERSION, what=what):
        yield BatchEndpoint.of(document)


def find_batch_deployment(client: RestClient, workspace: Workspace, endpoint: str, name: str) -> BatchDeployment | None:
    """Return a deployment; None if there is none of that name."""
    path = f"{_path(workspace, endpoint)}/deployments/{quote(name, safe='')}"
    document = _find(client, workspace, path, DEPLOYMENT_VERSION, f"deployment {name} of {_what(endpoint)}")
    return None if document is None else BatchDeployment.of(document)


def _find(client: RestClient, workspace: Workspace, path: str, version: str, what: str) -> Any:
    try:
        return client.request("GET", path, version, what=what)
    except errors.AzureError as error:
        if error.status == 404 and f"workspaces/{workspace.name}'".casefold() not in error.cause.casefold():
            return None
        raise


def endpoint_body(
    location: str, values: Mapping[str, Any], tags: Mapping[str, str], default: str = ""
) -> dict[str, Any]:
    """Return what creates an endpoint, as the SDK would send it for the `values` of its file."""
    properties: dict[str, Any] = {"authMode": "aadToken", "properties": dict(values.get("properties") or {})}
    if values.get("description") is not None:
        properties["description"] = str(values["description"])
    if default:
        properties["defaults"] = {"deploymentName": default}
    return {"location": location, "tags": {**(values.get("tags") or {}), **tags}, "properties": properties}


def put_batch_endpoint(
    client: RestClient, workspace: Workspace, name: str, body: Mapping[str, Any], *, wait_seconds: float = WAIT
) -> BatchEndpoint:
    """Create or change an endpoint and wait until it is there. Raises AzureError when it fails or takes too long."""
    options: dict[str, Any] = {"what": _what(name), "body": body, "wait_seconds": wait_seconds}
    return BatchEndpoint.of(client.operation("PUT", _path(workspace, name), ENDPOINT_VERSION, **options))


def deployment_body(location: str, values: Mapping[str, Any], parts: BatchParts) -> dict[str, Any]:
    """Return what creates a deployment, as the SDK would send it for the `values` of its file."""
    settings = values.get("settings") or {}
    variables = {name: str(value) for name, value in (settings.get("environment_variables") or {}).items()}
    count = (values.get("resources") or {}).get("instance_count") or settings.get("instance_count") or 1
    own = {key: value for key, value in (values.get("resources") or {}).items() if key != "instance_count"}
    given = {key: value for key, value in (settings.get("retry_settings") or {}).items() if value is not None}
    retries = {**RETRIES, **given}
    properties: dict[str, Any] = {
        "model": {"referenceType": "Id", "assetId": parts.model},
        "environmentId": parts.environment,
        "codeConfiguration": {"codeId": parts.code, "scoringScript": parts.script},
        "environmentVariables": {**variables, **parts.variables},
        "compute": parts.compute,
        "resources": {"instanceCount": int(count), "properties": {}, **_camel(own)},
        "miniBatchSize": int(settings.get("mini_batch_size") or 1),
        "maxConcurrencyPerInstance": int(settings.get("max_concurrency_per_instance") or 1),
        "outputAction": "SummaryOnly",
        "errorThreshold": 0,
        "retrySettings": {
            "maxRetries": int(retries["max_retries"]),
            "timeout": duration(int(retries["timeout"])),
        },
        "loggingLevel": _LEVELS[str(settings.get("logging_level") or "info").lower()],
        "properties": dict(values.get("properties") or {}),
    }
    if values.get("description") is not None:
        properties["description"] = str(values["description"])
    return {"location": location, "tags": {**(values.get("tags") or {}), **parts.tags}, "properties": properties}


def put_batch_deployment(
    client: RestClient,
    workspace: Workspace,
    endpoint: str,
    name: str,
    body: Mapping[str, Any],
    *,
    wait_seconds: float = WAIT,
    on_poll: Callable[[str], None] = lambda status: None,
) -> BatchDeployment:
    """Create or change a deployment and wait until it is there. Raises AzureError when it fails or takes too long."""
    path = f"{_path(workspace, endpoint)}/deployments/{quote(name, safe='')}"
    options: dict[str, Any] = {"what": f"deployment {name} of {_what(endpoint)}", "wait_seconds": wait_seconds}
    done = client.operation("PUT", path, DEPLOYMENT_VERSION, body=body, on_poll=on_poll, **options)
    return BatchDeployment.of(done)


def delete_batch_endpoint(client: RestClient, workspace: Workspace, name: str, *, wait_seconds: float = WAIT) -> None:
    """Delete an endpoint with its deployments; one that is gone stays gone."""
    client.operation("DELETE", _path(workspace, name), ENDPOINT_VERSION, what=_what(name), wait_seconds=wait_seconds)


def invoke(
    client: RestClient,
    workspace: Workspace,
    endpoint: BatchEndpoint,
    deployment: str,
    name: str,
    source: str,
    target: str,
) -> Job:
    """Ask a deployment to score the files in the folder `source` into the folder `target`, by a job of a new name.

    The job runs once, even if the answer to the request is lost: it is looked for by its name.
    """
    properties = {
        "name": name,
        "inputData": {"UriFolder": {"jobInputType": "UriFolder", "uri": source}},
        "outputData": {OUTPUT: {"jobOutputType": "UriFolder", "uri": target}},
    }
    request_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{workspace.path}/jobs/{name}"))
    headers = {"azureml-model-deployment": deployment, "repeatability-request-id": request_id}
    asked = RestClient(endpoint.scoring_uri, f"{clouds.current().studio}/.default")
    try:
        body = {"properties": properties}
        asked.request("POST", endpoint.scoring_uri, "", what=_what(endpoint.name), body=body, headers=headers)
        return jobs.find_job(client, workspace, name)
    except errors.AzureError as error:
        return jobs.look_for(client, workspace, name, error)


def _camel(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key.split("_")[0] + "".join(map(str.title, key.split("_")[1:])): value for key, value in values.items()}


def _path(workspace: Workspace, name: str) -> str:
    return f"{workspace.path}/batchEndpoints/{quote(name, safe='')}"


def _what(name: str) -> str:
    return f"batch endpoint {name}"
