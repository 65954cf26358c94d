"""Snapshots in a workspace, where Azure calls them code assets: found again by their content, else uploaded."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from notebooks_lib import errors
from notebooks_lib.azure.assets.snapshot import Snapshot
from notebooks_lib.azure.client.rest_client import RestClient
from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.azure.storage import file_upload
from notebooks_lib.azure.storage.file_upload import BlobFolder

API_VERSION = "2023-04-01"
HASH_VERSION = "202208"
_WHAT = "the snapshot"
_NAMES = uuid.UUID("8a2f4c5e-2f0b-5a0e-9d53-6d1f6b7f2f4e")


def find_or_upload_snapshot(
    client: RestClient,
    workspace: Workspace,
    snapshot: Snapshot,
    *,
    tell: Callable[[str], None] = lambda line: None,
) -> str:
    """Return the id of the code asset with a snapshot's content. Only files that are not there yet are sent.

    The asset's name follows from the content, so that an upload that was cut finds the same place at the next try.
    """
    if there := _find(client, workspace, snapshot.sha256):
        return there
    try:
        return _upload(client, workspace, snapshot, tell)
    except errors.AzureError as error:
        if 400 <= (error.status or 0) < 500 and (there := _find(client, workspace, snapshot.sha256)):
            return there  # somebody else has sent the same meanwhile
        raise


def _path(workspace: Workspace, digest: str) -> str:
    return f"{workspace.path}/codes/{uuid.uuid5(_NAMES, digest)}/versions"


def _find(client: RestClient, workspace: Workspace, digest: str) -> str:
    """Return the id of the code asset with this content; empty if there is none."""
    query = {"hash": digest, "hashVersion": HASH_VERSION}
    assets = client.pages(_path(workspace, digest), API_VERSION, what=_WHAT, query=query)
    return next((str(asset["id"]) for asset in assets), "")


def _upload(client: RestClient, workspace: Workspace, snapshot: Snapshot, tell: Callable[[str], None]) -> str:
    digest, path, what = snapshot.sha256, _path(workspace, snapshot.sha256), _WHAT
    size = sum(map(file_upload.size, snapshot.files.values()))
    tell(f"uploading {len(snapshot.files)} files, {size / 2**20:.1f} MB")
    asked = {"pendingUploadType": "TemporaryBlobReference"}
    place = client.request("POST", f"{path}/1/startPendingUpload", API_VERSION, what=what, body=asked)
    blobs = place["blobReferenceForConsumption"]
    address = (blobs.get("credential") or {}).get("sasUri") or blobs["blobUri"]
    file_upload.upload(BlobFolder.signed(address), snapshot.files)
    properties = {"hash_sha256": digest, "hash_version": HASH_VERSION}
    body = {"properties": {"codeUri": blobs["blobUri"], "isAnonymous": True, "properties": properties}}
    return str(client.request("PUT", f"{path}/1", API_VERSION, what=what, body=body)["id"])
