"""Lineage: what a run records of its data. The datasets, as tags and as MLflow inputs."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING, Any

from notebooks_lib.dataset_tag import DatasetTag
from notebooks_lib.tags import Env, Tag

if TYPE_CHECKING:
    import numpy as np

    from notebooks_lib.datasets.dataset import Dataset
    from notebooks_lib.tracking.store import Store

    Array = np.ndarray[Any, Any]

_used: dict[str, str] = {}
_noted: set[tuple[str, str]] = set()
_log = logging.getLogger(__name__)


def tag_value(dataset: Dataset) -> str:
    """Return "name@version#fingerprint", the value of the tag that records a dataset on a run."""
    return str(DatasetTag.of(dataset.name, dataset.version, dataset.fingerprint))


def parse_tag(value: str) -> tuple[str, int, str]:
    """Return name, version and fingerprint from a tag's value. Raises DatasetError when it names no dataset version."""
    tag = DatasetTag.parse(value)
    return *tag.version(), tag.fingerprint


def used() -> tuple[str, ...]:
    """Return "name@version#fingerprint" of each dataset loaded in this process, in the order of first loading."""
    return tuple(_used.values())


def note_loaded(dataset: Dataset) -> None:
    """Record that this process loaded a dataset, and tag the active run, if any. Errors of the store are ignored."""
    _used.setdefault(dataset.ref, tag_value(dataset))
    try:
        run_id = _run_going_on()
        if run_id is not None and (run_id, dataset.ref) not in _noted:
            from mlflow import MlflowClient

            MlflowClient().set_tag(run_id, Tag.DATASET_PREFIX + dataset.name, tag_value(dataset))
            _noted.add((run_id, dataset.ref))
    except Exception as error:  # noqa: BLE001 - a store that is away must not keep data from the user
        _log.warning("the run does not record that %s was loaded: %s", dataset.ref, error)


def mlflow_dataset(dataset: Dataset) -> Any:
    """Return a dataset for mlflow.log_input that holds name, fingerprint (32 characters) and origin, but no rows."""
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.data.meta_dataset import MetaDataset

    source = CodeDatasetSource(tags={"nbops.dataset": dataset.ref, "nbops.dataset.source": dataset.source})
    # MLflow accepts at most 36 characters as a digest.
    return MetaDataset(source=source, name=dataset.name, digest=dataset.fingerprint[:32])  # type: ignore[abstract]


def log_input(store: Store, run_id: str, dataset: Dataset) -> None:
    """Add the dataset to the run's inputs in MLflow's UI. Errors are ignored, because nbops itself reads the tag."""
    from mlflow.entities import DatasetInput

    try:
        store.client.log_inputs(run_id, [DatasetInput(mlflow_dataset(dataset)._to_mlflow_entity())])
    except Exception as error:  # noqa: BLE001 - an Azure ML workspace may not keep inputs
        _log.warning("%s is not shown among the run's inputs: %s", dataset.ref, error)


def _run_going_on() -> str | None:
    owned = os.environ.get(Env.OWNER_RUN) or os.environ.get("MLFLOW_RUN_ID")  # the latter alone in an Azure ML job
    if owned:
        return owned
    mlflow = sys.modules.get("mlflow")  # a run can be active only where mlflow was imported
    active = mlflow.active_run() if mlflow is not None else None
    return active.info.run_id if active is not None else None
