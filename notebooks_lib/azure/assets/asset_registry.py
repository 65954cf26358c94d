"""A registry of Azure ML: versions of models and environments that several workspaces share.

A version is shared once, from a workspace, and never changes in the registry. It sends what the SDK's `models.share`
sends, without the SDK.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

from notebooks_lib import errors
from notebooks_lib.azure.client import clouds, http_pipeline, workspace
from notebooks_lib.azure.client.http_pipeline import HttpLimits
from notebooks_lib.azure.client.rest_client import RestClient
from notebooks_lib.azure.client.workspace import Workspace

API_VERSION = "2021-10-01-dataplanepreview"
ROLE = "AzureML Registry User"
"""What who shares a version, or deploys one, needs on the registry."""
FIRST_POLL = 0.1
POLL = 5.0
"""Seconds between two looks for a version that another process shares: they grow from the first to the second."""
ID_PREFIX = "azureml://registries/"
_TAKEN = 409
Kind = Literal["models", "environments"]


@dataclass(frozen=True)
class AssetRegistry:
    """A registry that was found."""

    name: str
    path: str
    """Its path at Azure Resource Manager, and below the API of its region."""
    regions: tuple[str, ...]
    """Where workspaces can use what it holds; the first is its own."""
    client: RestClient
    """Of the API of its region."""

    def __str__(self) -> str:
        return f"registry {self.name!r}"


@dataclass(frozen=True)
class SharedAsset:
    """A version of an asset in a registry."""

    id: str
    """As a deployment names it: azureml://registries/…"""
    labels: Mapping[str, str]
    """Its properties and tags."""

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> SharedAsset:
        """Return the asset of one of Azure's documents."""
        own = document["properties"]
        return cls(str(document["id"]), {**(own.get("properties") or {}), **(own.get("tags") or {})})


def open_registry(name: str, limits: HttpLimits = http_pipeline.USUAL) -> AssetRegistry:
    """Look a registry up by its name, which is unique in a tenant. Raises AzureError."""
    cloud = clouds.current()
    with _role_named(name):
        found = RestClient(cloud.discovery, f"{cloud.studio}/.default", limits=limits).request(
            "GET",
            f"/registrymanagement/v1.0/registries/{quote(name, safe='')}/discovery",
            "",
            what=f"registry {name!r}",
            if_missing="check registry under [azure], or make it: registryName in production/infra, nbops azure up",
        )
    scope = f"/subscriptions/{quote(found['subscriptionId'])}/resourceGroups/{quote(found['resourceGroup'])}"
    path = f"{scope}/providers/Microsoft.MachineLearningServices/registries/{quote(found['registryName'])}"
    base = str(found["primaryRegionResourceProviderUri"]).rstrip("/")
    client = RestClient(f"{base}/mferp/managementfrontend", cloud.scope, limits=limits)
    regions = tuple(map(str, found.get("regions") or ())) or (str(found["primaryRegion"]),)
    return AssetRegistry(str(found["registryName"]), path, regions, client)


def registry_of(asset_id: str) -> str:
    """Return the name of the registry in the id of an asset; empty for an asset of a workspace."""
    return asset_id.removeprefix(ID_PREFIX).partition("/")[0] if asset_id.startswith(ID_PREFIX) else ""


def find_asset(registry: AssetRegistry, kind: Kind, name: str, version: str) -> SharedAsset | None:
    """Return a version of the registry; None if there is none. Raises AzureError."""
    path = f"{registry.path}/{kind}/{quote(name, safe='')}/versions/{quote(version, safe='')}"
    try:
        with _role_named(registry.name):
            what = f"{name}:{version} in {registry}"
            return SharedAsset.of(registry.client.request("GET", path, API_VERSION, what=what))
    except errors.AzureError as error:
        if error.status == 404:
            return None
        raise


def find_by_id(asset_id: str) -> SharedAsset | None:
    """Return the version of an id such as azureml://registries/R/models/N/versions/V. Raises AzureError."""
    kind, name, _, version = asset_id.removeprefix(ID_PREFIX).split("/")[1:]
    assert kind in ("models", "environments")
    return find_asset(open_registry(registry_of(asset_id)), kind, name, version)  # type: ignore[arg-type]


def share_asset(
    registry: AssetRegistry,
    client: RestClient,
    source: Workspace,
    kind: Kind,
    name: str,
    version: str,
    *,
    wait_seconds: float,
    tell: Callable[[str], None] = lambda line: None,
) -> SharedAsset:
    """Return the version in the registry, to which it is copied from a workspace if it is not there.

    An import that another process has begun, or one that was killed, is waited for. Raises AzureError when the registry
    refuses it or cannot be reached, and when it takes longer than `wait_seconds`.
    """
    if (asset := find_asset(registry, kind, name, version)) is not None:
        return asset
    tell(f"{name}:{version} is new to {registry}: it is copied there once, which takes minutes")
    shared = workspace.read(client, source)
    origin = f"azureml://locations/{shared['location']}/workspaces/{shared['properties']['workspaceId']}"
    own = {
        "referenceType": "Id",
        "destinationName": name,
        "destinationVersion": version,
        "sourceAssetId": f"{origin}/{kind}/{name}/versions/{version}",
    }
    deadline, pause = time.monotonic() + wait_seconds, FIRST_POLL
    refusal = _import(registry, own, wait_seconds)
    while (asset := find_asset(registry, kind, name, version)) is None:
        if time.monotonic() > deadline:
            cause = f"{name}:{version} has not come to {registry} within {wait_seconds / 60:.3g} min"
            raise refusal or errors.AzureError(cause, "do it again to wait longer")
        time.sleep(pause)
        pause = min(2 * pause, POLL)
    return asset


def _import(registry: AssetRegistry, own: Mapping[str, str], wait_seconds: float) -> errors.AzureError | None:
    """Import a version and wait for the end; return the refusal if another import of it has begun, else None.

    An answer that is lost is asked for once more: the first request may have begun the import.
    """
    what = f"the import of {own['destinationName']}:{own['destinationVersion']} into {registry}"
    path, deadline = f"{registry.path}/import", time.monotonic() + wait_seconds
    for last in (False, True):
        try:
            with _role_named(registry.name):
                options: dict[str, Any] = {"what": what, "body": {"properties": own}, "wait_seconds": wait_seconds}
                registry.client.operation("POST", path, API_VERSION, **options)
                return None
        except errors.AzureError as error:
            if error.status == _TAKEN:
                return error
            if last or error.status is not None or time.monotonic() > deadline:
                raise
    return None


@contextmanager
def _role_named(registry: str) -> Iterator[None]:
    """Let a refusal name the role that is missing on the registry."""
    try:
        yield
    except errors.AzureError as error:
        if error.status != 403:
            raise
        step = f"ask for the role {ROLE} on registry {registry!r}; a new role takes some minutes to hold"
        raise errors.AzureError(error.cause, step, status=error.status, code=error.code) from error
