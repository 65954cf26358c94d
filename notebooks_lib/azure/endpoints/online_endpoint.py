"""Online endpoints of a workspace, by plain requests: made, found, listed, their traffic moved, their secret read.

Traffic and mirrored traffic always go in one request. A secret is returned to its one caller and kept nowhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from notebooks_lib import errors
from notebooks_lib.azure.client.rest_client import RestClient
from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.azure.project_files import endpoint_file_kinds

API_VERSION = "2022-02-01-preview"
WAIT = 900.0
"""Seconds in which an endpoint must be made, changed or deleted."""
_AUTH_MODES = {"key": "Key", "amltoken": "AMLToken", "aadtoken": "AADToken"}


@dataclass(frozen=True)
class OnlineEndpoint:
    """An endpoint as the workspace knows it."""

    name: str
    state: str
    """Azure's own word, such as Succeeded."""
    scoring_uri: str
    auth_mode: str
    """key, amltoken or aadtoken."""
    compute: str
    """The Kubernetes compute; empty for a managed endpoint."""
    traffic: Mapping[str, int]
    mirror: Mapping[str, int]
    tags: Mapping[str, str]
    document: Mapping[str, Any] = field(repr=False)
    """The answer of Azure, from which a change starts."""

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> OnlineEndpoint:
        """Return the endpoint of one of Azure's documents."""
        own = document["properties"]
        return cls(
            name=str(document["name"]),
            state=str(own.get("provisioningState") or ""),
            scoring_uri=str(own.get("scoringUri") or ""),
            auth_mode=spelled(own.get("authMode")),
            compute=str(own.get("compute") or "").rpartition("/")[2],
            traffic={slot: share for slot, share in (own.get("traffic") or {}).items() if share},
            mirror={slot: share for slot, share in (own.get("mirrorTraffic") or {}).items() if share},
            tags=dict(document.get("tags") or {}),
            document=document,
        )


def find_endpoint(client: RestClient, workspace: Workspace, name: str) -> OnlineEndpoint | None:
    """Return an endpoint; None if there is none of that name."""
    try:
        document = client.request("GET", endpoint_path(workspace, name), API_VERSION, what=f"endpoint {name}")
    except errors.AzureError as error:
        if error.status == 404 and f"workspaces/{workspace.name}'".casefold() not in error.cause.casefold():
            return None
        raise
    return OnlineEndpoint.of(document)


def list_endpoints(client: RestClient, workspace: Workspace) -> Iterator[OnlineEndpoint]:
    """Yield all endpoints of a workspace, in the order in which Azure lists them."""
    path, what = f"{workspace.path}/onlineEndpoints", f"endpoints of workspace {workspace}"
    for document in client.pages(path, API_VERSION, what=what):
        yield OnlineEndpoint.of(document)


def endpoint_body(
    workspace: Workspace, location: str, values: Mapping[str, Any], tags: Mapping[str, str]
) -> dict[str, Any]:
    """Return what creates an endpoint without traffic, as the SDK would send it for the `values` of its files."""
    properties: dict[str, Any] = {
        "authMode": _AUTH_MODES[spelled(values.get("auth_mode") or "key")],
        "properties": dict(values.get("properties") or {}),
        "traffic": {},
        "mirrorTraffic": {},
    }
    if values.get("description") is not None:
        properties["description"] = str(values["description"])
    if values.get("public_network_access") is not None:
        properties["publicNetworkAccess"] = str(values["public_network_access"])
    if compute := endpoint_file_kinds.compute_of(values):
        properties["compute"] = f"{workspace.path}/computes/{compute}"
    return {
        "location": location,
        "tags": {**(values.get("tags") or {}), **tags},
        "identity": identity_body(values.get("identity") or {"type": "system_assigned"}),
        "properties": properties,
    }


def create_endpoint(
    client: RestClient, workspace: Workspace, name: str, body: Mapping[str, Any], *, wait_seconds: float = WAIT
) -> OnlineEndpoint:
    """Create an endpoint and wait until it is there. Raises AzureError when it fails or takes too long."""
    path, what = endpoint_path(workspace, name), f"endpoint {name}"
    return OnlineEndpoint.of(
        client.operation("PUT", path, API_VERSION, what=what, body=body, wait_seconds=wait_seconds)
    )


def change_endpoint(
    client: RestClient,
    workspace: Workspace,
    endpoint: OnlineEndpoint,
    *,
    traffic: Mapping[str, int] | None = None,
    mirror: Mapping[str, int] | None = None,
    tags: Mapping[str, str] | None = None,
    own: Mapping[str, str] | None = None,
    wait_seconds: float = WAIT,
) -> OnlineEndpoint:
    """Set traffic, mirrored traffic and tags in one request; None keeps what is there. Nothing else changes.

    `own` are properties of the endpoint to set, too. `endpoint` is what the caller has read. Raises AzureError, and
    sends nothing, when another has changed it since.
    """
    found = find_endpoint(client, workspace, endpoint.name)
    if found is None or _changeable(found) != _changeable(endpoint):
        raise errors.AzureError(
            f"endpoint {endpoint.name} was changed by another command: {_shares(endpoint)} became "
            f"{_shares(found) if found else 'nothing'}",
            f"look at it and do it again: nbops endpoint status {endpoint.name}",
        )
    document, there = found.document, found.document["properties"]
    properties = {key: there[key] for key in _KEPT if there.get(key) is not None} | dict(own or {})
    properties["traffic"] = dict(endpoint.traffic if traffic is None else traffic)
    properties["mirrorTraffic"] = dict(endpoint.mirror if mirror is None else mirror)
    body = {"location": document["location"], "tags": dict(endpoint.tags if tags is None else tags)}
    body["properties"] = properties
    if identity := document.get("identity"):
        body["identity"] = {"type": identity.get("type")}
        if users := identity.get("userAssignedIdentities"):
            body["identity"]["userAssignedIdentities"] = {user: {} for user in users}
    path, what = endpoint_path(workspace, endpoint.name), f"endpoint {endpoint.name}"
    changed = client.operation("PUT", path, API_VERSION, what=what, body=body, wait_seconds=wait_seconds)
    return OnlineEndpoint.of(changed)


def delete_endpoint(client: RestClient, workspace: Workspace, name: str, *, wait_seconds: float = WAIT) -> None:
    """Delete an endpoint with its deployments and its address; one that is gone stays gone."""
    path, what = endpoint_path(workspace, name), f"endpoint {name}"
    client.operation("DELETE", path, API_VERSION, what=what, wait_seconds=wait_seconds)


def read_secret(client: RestClient, workspace: Workspace, endpoint: OnlineEndpoint) -> str:
    """Return the key or the Azure ML token that requests to an endpoint need; empty for one that takes Entra tokens."""
    path, what = endpoint_path(workspace, endpoint.name), f"key of endpoint {endpoint.name}"
    if endpoint.auth_mode == "aadtoken":
        return ""
    if endpoint.auth_mode == "amltoken":
        return str(client.request("POST", f"{path}/token", API_VERSION, what=what)["accessToken"])
    return str(client.request("POST", f"{path}/listKeys", API_VERSION, what=what)["primaryKey"])


def endpoint_path(workspace: Workspace, name: str) -> str:
    """Return the path of an endpoint at Azure Resource Manager."""
    return f"{workspace.path}/onlineEndpoints/{quote(name, safe='')}"


def _changeable(endpoint: OnlineEndpoint) -> tuple[object, ...]:
    return endpoint.traffic, endpoint.mirror, endpoint.tags


def _shares(endpoint: OnlineEndpoint) -> str:
    shares = [f"{slot}={share}" for slot, share in endpoint.traffic.items()]
    return " ".join(shares + [f"mirror {slot}={share}" for slot, share in endpoint.mirror.items()]) or "no traffic"


_KEPT = ("authMode", "description", "properties", "compute", "publicNetworkAccess")


def spelled(mode: object) -> str:
    """Return an auth mode in one spelling: files and Azure have others."""
    return re.sub(r"[_-]", "", str(mode or "key")).lower()


def identity_body(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the identity of an endpoint as Azure takes it, for `identity` of its file."""
    kind = "".join(map(str.title, re.sub(r"([a-z])([A-Z])", r"\1_\2", str(values["type"])).split("_")))
    users = {str(user["resource_id"]): dict[str, Any]() for user in values.get("user_assigned_identities") or ()}
    return {"type": kind, **({"userAssignedIdentities": users} if users else {})}
