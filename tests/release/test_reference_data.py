"""A monitor compares with the rows of the training, whose target is also there under the name of predictions."""

from __future__ import annotations

import io

import pandas as pd
import pytest
import yaml

from notebooks_lib import datasets, errors
from notebooks_lib.azure.assets import data_asset
from notebooks_lib.azure.assets.data_asset import DataAsset
from notebooks_lib.azure.client.rest_client import RestClient
from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.azure.storage import datastore, file_download
from notebooks_lib.release import reference_data
from notebooks_lib.settings import Settings
from notebooks_lib.tags import Tag
from tests.azure.emulator import Emulated
from tests.azure.fixtures import WithWorkspace


def test_the_target_is_also_the_prediction_and_the_holdout_is_not_there(empty_project: Settings) -> None:
    dataset = datasets.read("diabetes@1", empty_project)
    rows = reference_data.reference_rows(dataset)
    assert len(rows) == len(dataset.train)
    assert list(rows) == [*dataset.train.frame, "prediction"]
    assert (rows["prediction"] == rows[str(dataset.target)]).all()


@pytest.mark.parametrize(
    ("metrics", "dataset", "task"),
    [
        (["rmse", "mae"], "diabetes@1", "regression"),
        (["accuracy", "costs"], "diabetes@1", "classification"),
        ([], "diabetes@1", "regression"),
        (["costs"], "breast_cancer@1", "classification"),
    ],
)
def test_the_task_is_that_of_the_metrics_else_that_of_the_target(
    empty_project: Settings, metrics: list[str], dataset: str, task: str
) -> None:
    assert reference_data.task_of(metrics, datasets.read(dataset, empty_project)) == task


@pytest.mark.tracking
def test_the_rows_are_uploaded_once_as_a_table(
    with_workspace: WithWorkspace, empty_project: Settings, azure_server: Emulated
) -> None:
    from notebooks_lib.azure.client import rest_client, workspace

    client: RestClient = rest_client.resource_manager()
    place: Workspace = workspace.find_workspace(with_workspace(empty_project))
    dataset = datasets.read("diabetes@1", empty_project)
    reference_data.upload_reference(client, place, dataset)
    asset = data_asset.find_asset(client, place, "diabetes-reference", "1")
    assert asset is not None
    assert (asset.type, f"{place.path}/data/diabetes-reference/versions/1") == (
        "mltable",
        reference_data.reference_id(place, dataset),
    )
    folder = datastore.folder_of(client, place, asset.uri)
    files = {name: file_download.download(folder, name) for name in ("MLTable", "reference.parquet")}
    table = yaml.safe_load(files["MLTable"].decode())
    assert table["paths"] == [{"file": "./reference.parquet"}]
    assert pd.read_parquet(io.BytesIO(files["reference.parquet"])).equals(
        reference_data.reference_rows(dataset).reset_index(drop=True)
    )

    began = azure_server.record.position()
    reference_data.upload_reference(client, place, dataset)
    assert {seen.method for seen in azure_server.record.since(began)} == {"GET"}

    other = DataAsset("iris-reference", "1", "azureml://datastores/x/paths/y", {Tag.REFERENCE: "other"}, type="mltable")
    data_asset.create_asset(client, place, other)
    with pytest.raises(errors.AzureError, match="iris-reference:1 .* holds other rows than those of iris@1"):
        reference_data.upload_reference(client, place, datasets.read("iris@1", empty_project))
