"""Datastores: the default one and those that assets name, signed for an hour, and faults that name the datastore."""

from __future__ import annotations

import uuid

import pytest

from notebooks_lib import errors
from notebooks_lib.azure.client.rest_client import RestClient
from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.azure.storage import datastore
from tests.azure.fixtures import Ask

pytestmark = pytest.mark.tracking


def test_the_default_datastore_gives_a_signed_folder(client: RestClient, place: Workspace) -> None:
    store = datastore.default_datastore(client, place)
    folder = store.folder("LocalUpload/a b")

    assert folder.url == "https://account.blob.core.windows.net/blobstore/LocalUpload/a%20b"
    assert "signed" in folder.signature
    assert "signed" not in repr((store, folder))
    assert folder.renew is not None
    assert "signed" in folder.renew()
    assert store.uri("LocalUpload/x") == "azureml://datastores/workspaceblobstore/paths/LocalUpload/x/"


@pytest.mark.parametrize("scope", ["", "subscriptions/s/resourcegroups/g/workspaces/w/"])
def test_what_an_asset_names_is_found_in_its_short_and_its_long_form(
    client: RestClient, place: Workspace, scope: str
) -> None:
    folder = datastore.folder_of(client, place, f"azureml://{scope}datastores/workspaceblobstore/paths/a/b/")

    assert folder.url == "https://account.blob.core.windows.net/blobstore/a/b"
    assert folder.signature


@pytest.mark.parametrize("uri", ["https://example.org/t.csv", "azureml://jobs/x/outputs/o", ""])
def test_what_is_no_folder_of_a_datastore_is_refused(client: RestClient, place: Workspace, uri: str) -> None:
    with pytest.raises(errors.AzureError, match="is no folder in a datastore"):
        datastore.folder_of(client, place, uri)


def test_a_datastore_that_is_no_blob_storage_or_is_not_there_is_named(
    client: RestClient, place: Workspace, ask: Ask
) -> None:
    name = f"files-{uuid.uuid4().hex[:8]}"
    assert ask("PUT", f"datastores/{name}", {"properties": {"datastoreType": "AzureFile", "fileShareName": "f"}}).ok

    with pytest.raises(errors.AzureError, match=f"datastore {name} of workspace .* is no blob storage"):
        datastore.folder_of(client, place, f"azureml://datastores/{name}/paths/a")
    with pytest.raises(errors.AzureError, match="no datastore none of workspace"):
        datastore.folder_of(client, place, "azureml://datastores/none/paths/a")


@pytest.mark.parametrize(
    ("account", "endpoint"),
    [("account", "example.org"), ("example.org/", "core.windows.net"), ("a@example.org#", None)],
)
def test_a_datastore_elsewhere_gets_neither_token_nor_data(
    client: RestClient, place: Workspace, ask: Ask, account: str, endpoint: str | None
) -> None:
    name = f"elsewhere{uuid.uuid4().hex[:8]}"
    own = {"datastoreType": "AzureBlob", "accountName": account, "containerName": "c", "endpoint": endpoint}
    assert ask("PUT", f"datastores/{name}", {"properties": own}).ok

    with pytest.raises(errors.AzureError, match="no storage account of this cloud: it gets no token and no data"):
        datastore.folder_of(client, place, f"azureml://datastores/{name}/paths/a/")
