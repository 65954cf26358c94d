"""Datastores of a workspace: the container in blob storage that holds the files of its assets, and access to it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from notebooks_lib import errors
from notebooks_lib.azure.client import clouds
from notebooks_lib.azure.client.rest_client import RestClient
from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.azure.storage.file_upload import BlobFolder

API_VERSION = "2024-10-01-preview"
_URI = re.compile(r"azureml://(?:subscriptions/.*/)?datastores/([^/]+)/paths/(.+?)/?$")


@dataclass(frozen=True)
class Datastore:
    """A container in blob storage, by its name in the workspace."""

    name: str
    url: str
    """The address of the container."""
    signature: str = field(default="", repr=False)
    """Grants access to the container; without it, requests are signed with this process's credential."""
    renew: Callable[[], str] | None = field(default=None, repr=False, compare=False)
    """Returns another signature, for when this one has expired."""

    def folder(self, path: str) -> BlobFolder:
        """Return a folder in the container."""
        return BlobFolder(f"{self.url}/{quote(path)}", self.signature, self.renew)

    def uri(self, path: str) -> str:
        """Return how an asset names a folder in the container."""
        return f"azureml://datastores/{self.name}/paths/{path}/"


def default_datastore(client: RestClient, workspace: Workspace) -> Datastore:
    """Return the workspace's default datastore."""
    what = f"the default datastore of workspace {workspace}"
    stores = client.pages(f"{workspace.path}/datastores", API_VERSION, what=what, query={"isDefault": "true"})
    store = next(iter(stores), None)
    if store is None:
        raise errors.AzureError(f"{what} is missing", "set one: `az ml datastore set-default`")
    return _with_access(client, workspace, store, what)


def folder_of(client: RestClient, workspace: Workspace, uri: str) -> BlobFolder:
    """Return the folder that an asset names by `uri`. Raises AzureError unless it is one of blob storage."""
    match = _URI.match(uri)
    if match is None:
        raise errors.AzureError(f"{uri} is no folder in a datastore", "push it again from where its files are")
    name, path = match.groups()
    what = f"datastore {name} of workspace {workspace}"
    store = client.request("GET", f"{workspace.path}/datastores/{quote(name, safe='')}", API_VERSION, what=what)
    return _with_access(client, workspace, store, what).folder(path)


def _with_access(client: RestClient, workspace: Workspace, store: Mapping[str, Any], what: str) -> Datastore:
    """Return a datastore with a signature for an hour, or without one where the workspace gives none out."""
    own = store["properties"]
    if not (own.get("accountName") and own.get("containerName")):
        raise errors.AzureError(f"{what} is no blob storage", "nbops reads and writes datastores of type AzureBlob")
    suffix = clouds.current().storage_suffix
    host = f"{own['accountName']}.blob.{own.get('endpoint') or suffix}"
    if not re.fullmatch(rf"[a-z0-9]{{3,24}}\.blob\.{re.escape(suffix)}", host):
        cause = f"{what} lies at {host}, which is no storage account of this cloud: it gets no token and no data"
        raise errors.AzureError(cause, f"correct its account and endpoint: ACCOUNT.blob.{suffix}")
    asked = {"expirableSecret": True, "expireAfterHours": 1}
    path = f"{workspace.path}/datastores/{store['name']}/listSecrets"

    def sign() -> str:
        secrets = client.request("POST", path, API_VERSION, what=what, body=asked) or {}
        return str(secrets.get("sasToken") or "").lstrip("?")

    return Datastore(str(store["name"]), f"https://{host}/{own['containerName']}", sign(), sign)
