"""A job's parameters that name data assets are inputs of the job; all others are not."""

from __future__ import annotations

import uuid

import pytest

from notebooks_lib.azure.assets import data_asset
from notebooks_lib.azure.assets.data_asset import DataAsset
from notebooks_lib.azure.client import rest_client, workspace
from notebooks_lib.running.job_inputs import dataset_inputs
from notebooks_lib.tags import Tag
from tests.azure.fixtures import Ask, AzureProject

pytestmark = pytest.mark.tracking


def test_parameters_that_name_an_asset_are_inputs(azure_workspace: AzureProject, ask: Ask) -> None:
    place, client = workspace.find_workspace(azure_workspace.settings), rest_client.resource_manager()
    name = f"sales-{uuid.uuid4().hex[:8]}"
    uri = "azureml://datastores/workspaceblobstore/paths/a/"
    tags = {Tag.FINGERPRINT: "f"}
    assert data_asset.create_asset(client, place, DataAsset(name, "3", uri, tags))
    assert data_asset.create_asset(client, place, DataAsset(name, "5", uri, {}))
    archived = {"dataType": "uri_folder", "dataUri": uri, "tags": tags, "isArchived": True}
    assert ask("PUT", f"data/{name}/versions/6", {"properties": archived}).ok
    parameters = {
        "data": f"{name}@3",
        "other_version": f"{name}@4",
        "not_of_nbops": f"{name}@5",
        "archived": f"{name}@6",
        "without_version": name,
        "bundled": "iris@1",
        "mail": "Some.One@example.org",
        "alpha": 0.5,
    }

    assert dataset_inputs(client, place, parameters) == {
        "data": {"jobInputType": "uri_folder", "uri": f"{place.path}/data/{name}/versions/3", "mode": "Direct"}
    }
