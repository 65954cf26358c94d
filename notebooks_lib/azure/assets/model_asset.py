"""Versions of models in a workspace, as deployments name them: found by the digest of their files, else uploaded."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from notebooks_lib import errors
from notebooks_lib.azure.assets import asset_registry
from notebooks_lib.azure.client.rest_client import RestClient
from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.azure.storage import file_download, file_upload
from notebooks_lib.azure.storage.datastore import default_datastore
from notebooks_lib.azure.storage.file_upload import Content
from notebooks_lib.tags import Tag

API_VERSION = "2023-08-01-preview"
FOLDER = "model"
"""The name of the folder in which a deployment finds the files."""
_EXAMPLE = "example.json"


def find_model(client: RestClient, workspace: Workspace, name: str, version: str) -> str:
    """Return the id of a version; empty if there is none."""
    path = f"{_path(workspace, name)}/{quote(version, safe='')}"
    try:
        return str(client.request("GET", path, API_VERSION, what=f"model {name}:{version}")["id"])
    except errors.AzureError as error:
        if error.status == 404:
            return ""
        raise


def has_digest(client: RestClient, model_id: str, sha256: str) -> bool:
    """Return True if a version is there and no other digest is known of its files than this one.

    The version is one of a workspace, or of a registry.
    """
    if asset_registry.registry_of(model_id):
        shared = asset_registry.find_by_id(model_id)
        return shared is not None and shared.labels.get(Tag.MODEL_SHA256, sha256) == sha256
    try:
        document = client.request("GET", model_id, API_VERSION, what=model_id.rpartition("/workspaces/")[2])
    except errors.AzureError as error:
        if error.status == 404:
            return False
        raise
    return bool((document["properties"].get("tags") or {}).get(Tag.MODEL_SHA256, sha256) == sha256)


def find_or_upload_model(
    client: RestClient, workspace: Workspace, name: str, version: str, files: Mapping[str, Content], sha256: str
) -> str:
    """Return the id of the version with these files, which is made if the workspace has none.

    It bears the given number, or the next that is free where other files have it. `sha256` is the digest of the files.
    """
    taken = set()
    for document in _versions(client, workspace, name):
        taken.add(str(document["name"]))
        if (document["properties"].get("tags") or {}).get(Tag.MODEL_SHA256) == sha256:
            return str(document["id"])
    number = version
    if number in taken:
        number = str(max((int(each) for each in taken if each.isdigit()), default=0) + 1)
    place = f"nbops/models/{quote(name, safe='')}/{sha256}/{FOLDER}"
    store = default_datastore(client, workspace)
    file_upload.upload(store.folder(place), files)
    properties = {
        "modelType": "mlflow_model",
        "modelUri": store.uri(place),
        "tags": {Tag.MODEL_SHA256: sha256},
        "isAnonymous": False,
        "isArchived": False,
    }
    path, what = f"{_path(workspace, name)}/{quote(number, safe='')}", f"model {name}:{number}"
    return str(client.request("PUT", path, API_VERSION, what=what, body={"properties": properties})["id"])


def folder_files(folder: Path) -> dict[str, Content]:
    """Return the files of a model by their path in its folder."""
    return {file.relative_to(folder).as_posix(): file for file in sorted(folder.rglob("*")) if file.is_file()}


def keep_example(client: RestClient, workspace: Workspace, sha256: str, example: Mapping[str, Any]) -> None:
    """Keep a request that the model with this digest answers, where all who can read the workspace find it."""
    folder = default_datastore(client, workspace).folder(_example_folder(sha256))
    file_upload.upload(folder, {_EXAMPLE: json.dumps(example).encode()})


def read_example(client: RestClient, workspace: Workspace, sha256: str) -> dict[str, Any] | None:
    """Return the request that `keep_example` kept; None if there is none."""
    folder = default_datastore(client, workspace).folder(_example_folder(sha256))
    try:
        content: dict[str, Any] = json.loads(bytes(file_download.download(folder, _EXAMPLE)))
    except errors.AzureError as error:
        if error.status == 404:
            return None
        raise
    return content


def _example_folder(sha256: str) -> str:
    return f"nbops/examples/{sha256}"


def _versions(client: RestClient, workspace: Workspace, name: str) -> Iterator[Any]:
    try:
        yield from client.pages(
            _path(workspace, name), API_VERSION, what=f"model {name}", query={"listViewType": "All"}
        )
    except errors.AzureError as error:
        if error.status != 404:
            raise


def _path(workspace: Workspace, name: str) -> str:
    return f"{workspace.path}/models/{quote(name, safe='')}/versions"
