"""The rows that a monitor compares production with: the training rows of a dataset version, as a table in a workspace.

Beside the columns of the dataset it has `prediction`, a copy of the target: so drift of the predictions can be seen,
which a slot collects under that name.
"""

from __future__ import annotations

import io
from collections.abc import Collection
from typing import TYPE_CHECKING

from notebooks_lib.azure.assets import data_asset
from notebooks_lib.azure.assets.data_asset import TABLE, DataAsset
from notebooks_lib.azure.client.rest_client import RestClient
from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.azure.schedules.monitor import Task
from notebooks_lib.azure.storage import datastore, file_upload
from notebooks_lib.dataset_tag import DatasetTag
from notebooks_lib.datasets.dataset import Dataset
from notebooks_lib.errors import AzureError, UsageError
from notebooks_lib.metrics import builtin
from notebooks_lib.tags import Tag

if TYPE_CHECKING:
    import pandas as pd

PREDICTION = "prediction"
"""The column under which predictions are collected."""
CLASSES = 20
"""Distinct whole numbers of a target at most that are taken for classes, where no metric says what they are."""
_FILE = "reference.parquet"
_MLTABLE = f"""\
type: mltable
paths:
  - file: ./{_FILE}
transformations:
  - read_parquet:
      include_path_column: false
"""


def reference_name(dataset: str) -> str:
    """Return the name of the asset with the rows that belong to a dataset."""
    return f"{dataset}-reference"


def reference_id(workspace: Workspace, dataset: Dataset) -> str:
    """Return the id of the asset with the training rows of a dataset version, whether or not it is there."""
    return data_asset.asset_id(workspace, reference_name(dataset.name), str(dataset.version))


def upload_reference(client: RestClient, workspace: Workspace, dataset: Dataset) -> None:
    """Upload the training rows of a dataset version, unless they are there.

    Raises UsageError for a dataset without a target, AzureError when the workspace has other rows under that version.
    """
    name, version = reference_name(dataset.name), str(dataset.version)
    tag = str(DatasetTag.of(dataset.name, dataset.version, dataset.fingerprint))
    found = data_asset.find_asset(client, workspace, name, version)
    if found is None:
        files = {"MLTable": _MLTABLE.encode(), _FILE: _parquet(reference_rows(dataset))}
        store = datastore.default_datastore(client, workspace)
        place = f"nbops/references/{dataset.name}/{dataset.fingerprint[:16]}"
        file_upload.upload(store.folder(place), files)
        text = f"the training rows of {dataset.ref}, with which monitors compare"
        asset = DataAsset(name, version, store.uri(place), {Tag.REFERENCE: tag}, text, type=TABLE)
        if not data_asset.create_asset(client, workspace, asset):
            found = data_asset.find_asset(client, workspace, name, version)
    if found is not None and found.tags.get(Tag.REFERENCE) != tag:
        cause = f"data asset {name}:{version} of workspace {workspace} holds other rows than those of {dataset.ref}"
        raise AzureError(cause, "archive that asset, or give the dataset another name: another project uses this one")


def reference_rows(dataset: Dataset) -> pd.DataFrame:
    """Return the training rows with their target also as predictions. Raises UsageError without a target."""
    part = dataset.train
    if part.y is None:
        raise UsageError(
            f"{dataset.ref} has no target, so that predictions cannot be compared with it: name one when you add the "
            "next version, nbops data add --target COLUMN"
        )
    return part.frame if PREDICTION in part.frame else part.frame.assign(**{PREDICTION: part.y})


def task_of(metrics: Collection[str], dataset: Dataset) -> Task:
    """Return whether a model predicts numbers or classes: by the metrics of its run, else by the target's values."""
    tasks = {builtin.METRICS[name].task for name in metrics if name in builtin.METRICS}
    if len(tasks) == 1:
        return tasks.pop()
    target = dataset.train.y
    if target is None or target.dtype.kind == "f":
        return "regression"
    return "classification" if target.dtype.kind not in "iu" or target.nunique() <= CLASSES else "regression"


def _parquet(rows: pd.DataFrame) -> bytes:
    stream = io.BytesIO()
    rows.to_parquet(stream, index=False)
    return stream.getvalue()
