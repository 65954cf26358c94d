"""Data assets of a workspace, by plain requests: folders with a name, a version and tags, which never change.

A folder with a file `MLTable` in it, which says how its files are read, can be an asset of type `TABLE`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from notebooks_lib import errors
from notebooks_lib.azure.client.rest_client import RestClient
from notebooks_lib.azure.client.workspace import Workspace

API_VERSION = "2023-04-01-preview"
FOLDER = "uri_folder"
TABLE = "mltable"
_TAKEN = 409


@dataclass(frozen=True)
class DataAsset:
    """One version of a data asset."""

    name: str
    version: str
    uri: str
    """Where its files lie, such as azureml://datastores/NAME/paths/PATH/."""
    tags: Mapping[str, str]
    description: str = ""
    archived: bool = False
    type: str = FOLDER

    @classmethod
    def of(cls, name: str, document: Mapping[str, Any]) -> DataAsset:
        """Return the asset of one of Azure's documents."""
        own = document.get("properties") or {}
        return cls(
            name=name,
            version=str(document["name"]),
            uri=str(own.get("dataUri") or ""),
            tags=dict(own.get("tags") or {}),
            description=str(own.get("description") or ""),
            archived=bool(own.get("isArchived")),
            type=str(own.get("dataType") or FOLDER),
        )


def find_asset(client: RestClient, workspace: Workspace, name: str, version: str) -> DataAsset | None:
    """Return one version of an asset, also an archived one; None if there is none."""
    path = f"{_path(workspace, name)}/{quote(version, safe='')}"
    try:
        return DataAsset.of(name, client.request("GET", path, API_VERSION, what=f"data asset {name}:{version}"))
    except errors.AzureError as error:
        if _workspace_is_there(error, workspace):
            return None
        raise


def list_versions(
    client: RestClient, workspace: Workspace, name: str, *, archived: bool = False
) -> Iterator[DataAsset]:
    """Yield the versions of an asset, with `archived` also those; none if there is no such asset."""
    query = {"listViewType": "All" if archived else "ActiveOnly"}
    try:
        for document in client.pages(_path(workspace, name), API_VERSION, what=f"data asset {name}", query=query):
            yield DataAsset.of(name, document)
    except errors.AzureError as error:
        if not _workspace_is_there(error, workspace):
            raise


def list_names(client: RestClient, workspace: Workspace) -> Iterator[str]:
    """Yield the names of all data assets that are not archived."""
    query = {"listViewType": "ActiveOnly"}
    what = f"data assets of workspace {workspace}"
    for document in client.pages(f"{workspace.path}/data", API_VERSION, what=what, query=query):
        yield str(document["name"])


def create_asset(client: RestClient, workspace: Workspace, asset: DataAsset) -> bool:
    """Create a version whose files are there; return False if the version exists with other files."""
    path = f"{_path(workspace, asset.name)}/{quote(asset.version, safe='')}"
    what = f"data asset {asset.name}:{asset.version}"
    try:
        created = client.request("PUT", path, API_VERSION, what=what, body=_body(asset))
    except errors.AzureError as error:
        if error.status == _TAKEN:
            return False
        raise
    kept = DataAsset.of(asset.name, created).uri  # a workspace may answer well and keep what it had
    return _place(kept) == _place(asset.uri)


def archive_asset(client: RestClient, workspace: Workspace, name: str) -> None:
    """Archive all versions of an asset, so that nobody lists them; its files stay where they are."""
    for asset in list(list_versions(client, workspace, name)):
        path, body = f"{_path(workspace, name)}/{quote(asset.version, safe='')}", _body(asset)
        body["properties"]["isArchived"] = True
        client.request("PUT", path, API_VERSION, what=f"data asset {name}:{asset.version}", body=body)


def _body(asset: DataAsset) -> dict[str, Any]:
    properties = {
        "dataType": asset.type,
        "dataUri": asset.uri,
        "tags": dict(asset.tags),
        "description": asset.description,
        "isAnonymous": False,
        "isArchived": False,
    }
    return {"properties": properties}


def asset_id(workspace: Workspace, name: str, version: str) -> str:
    """Return the id of one version of an asset."""
    return f"{_path(workspace, name)}/{quote(version, safe='')}"


def _workspace_is_there(error: errors.AzureError, workspace: Workspace) -> bool:
    """Return whether an error says that there is no asset, and not that there is no workspace."""
    if error.status != 404 or error.code in ("ResourceGroupNotFound", "SubscriptionNotFound"):
        return False
    return f"workspaces/{workspace.name}'".casefold() not in error.cause.casefold()


def _place(uri: str) -> str:
    """Return datastore and path of a URI: a workspace answers the long form of the one that it was given."""
    return uri.rpartition("datastores/")[2].rstrip("/")


def _path(workspace: Workspace, name: str) -> str:
    return f"{workspace.path}/data/{quote(name, safe='')}/versions"
