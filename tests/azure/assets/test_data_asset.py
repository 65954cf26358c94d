"""Data assets: made once, found, listed page after page; a workspace that is not there is not an asset that is not."""

from __future__ import annotations

import uuid

import pytest

from notebooks_lib import errors
from notebooks_lib.azure.assets import data_asset
from notebooks_lib.azure.assets.data_asset import DataAsset
from notebooks_lib.azure.client.rest_client import RestClient
from notebooks_lib.azure.client.workspace import Workspace
from tests.azure.fixtures import Ask

pytestmark = pytest.mark.tracking


@pytest.fixture
def asset() -> DataAsset:
    uri = "azureml://datastores/workspaceblobstore/paths/a/"
    return DataAsset(f"sales-{uuid.uuid4().hex[:8]}", "1", uri, {"nbops.rows": "60"}, "one row is one sale")


def test_a_version_is_made_once_and_found_as_it_was_made(
    client: RestClient, place: Workspace, asset: DataAsset
) -> None:
    assert data_asset.find_asset(client, place, asset.name, "1") is None
    assert data_asset.create_asset(client, place, asset)
    assert data_asset.create_asset(client, place, asset)  # again, as after an answer that was lost
    assert data_asset.find_asset(client, place, asset.name, "1") == asset


def test_a_version_with_other_files_is_not_overwritten(client: RestClient, place: Workspace, asset: DataAsset) -> None:
    data_asset.create_asset(client, place, asset)
    other = DataAsset(asset.name, "1", asset.uri.replace("/a/", "/b/"), {})

    assert not data_asset.create_asset(client, place, other)
    assert data_asset.find_asset(client, place, asset.name, "1") == asset


def test_versions_and_names_are_listed_whatever_their_number(
    client: RestClient, place: Workspace, asset: DataAsset, ask: Ask
) -> None:
    assert list(data_asset.list_versions(client, place, asset.name)) == []
    for version in range(1, 8):
        data_asset.create_asset(client, place, DataAsset(asset.name, str(version), asset.uri, {}))
    archived = {"properties": {"dataType": "uri_folder", "dataUri": asset.uri, "isArchived": True}}
    assert ask("PUT", f"data/{asset.name}/versions/8", archived).ok

    def numbers(*, archived: bool) -> list[str]:
        return [each.version for each in data_asset.list_versions(client, place, asset.name, archived=archived)]

    assert numbers(archived=False) == list("1234567")
    assert numbers(archived=True) == list("12345678")
    assert asset.name in data_asset.list_names(client, place)


def test_a_workspace_that_is_not_there_is_an_error(client: RestClient, place: Workspace, asset: DataAsset) -> None:
    nowhere = Workspace(place.subscription, place.resource_group, "nowhere")
    for look in (
        lambda: data_asset.find_asset(client, nowhere, asset.name, "1"),
        lambda: list(data_asset.list_versions(client, nowhere, asset.name)),
        lambda: list(data_asset.list_names(client, nowhere)),
        lambda: data_asset.create_asset(client, nowhere, asset),
    ):
        with pytest.raises(errors.AzureError, match="nowhere"):
            look()
