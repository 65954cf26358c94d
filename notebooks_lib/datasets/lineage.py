"""Lineage: what this process loaded, and how a run names a dataset, as tag and as MLflow input. It loads nothing."""

from __future__ import annotations

import logging
import os
import re
import sys
from typing import TYPE_CHECKING, Any

from notebooks_lib.errors import DatasetError
from notebooks_lib.tags import Env, Tag

if TYPE_CHECKING:
    from notebooks_lib.datasets.dataset import Dataset
    from notebooks_lib.tracking.store import Store

_TAG = re.compile(r"([a-z0-9_-]+)@(\d+)#([0-9a-f]{64})")
_used: dict[str, str] = {}
_noted: set[tuple[str, str]] = set()
_log = logging.getLogger(__name__)


def tag_value(dataset: Dataset) -> str:
    """Return the value of the tag Tag.DATASET_PREFIX + name: "name@version#fingerprint"."""
    return tag_of(dataset.name, dataset.version, dataset.fingerprint)


def tag_of(name: str, version: int, fingerprint: str) -> str:
    """Return the value of the tag that names a version; `parse_tag` is the inverse."""
    return f"{name}@{version}#{fingerprint}"


def parse_tag(value: str) -> tuple[str, int, str]:
    """Return name, version and fingerprint from a tag's value. Raises DatasetError for anything else."""
    match = _TAG.fullmatch(value)
    if match is None:
        raise DatasetError(f"tag value {value!r} names no dataset; it looks like name@version#fingerprint")
    return match[1], int(match[2]), match[3]


def used() -> tuple[str, ...]:
    """Return the tag values of the datasets loaded in this process, in the order of their first loading."""
    return tuple(_used.values())


def note(dataset: Dataset) -> None:
    """Remember that the dataset was loaded, and tag the active run, if any. It never fails."""
    _used.setdefault(dataset.ref, tag_value(dataset))
    try:
        run_id = _run_going_on()
        if run_id is not None and (run_id, dataset.ref) not in _noted:
            from mlflow import MlflowClient

            MlflowClient().set_tag(run_id, Tag.DATASET_PREFIX + dataset.name, tag_value(dataset))
            _noted.add((run_id, dataset.ref))
    except Exception as error:  # noqa: BLE001 - a store that is away must not keep data from the user
        _log.warning("the run could not be told that %s was loaded: %s", dataset.ref, error)


def mlflow_dataset(dataset: Dataset) -> Any:
    """Return the dataset for mlflow.log_input: name, fingerprint and origin, without a copy of the rows."""
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.data.meta_dataset import MetaDataset

    source = CodeDatasetSource(tags={"nbops.dataset": dataset.ref, "nbops.dataset.source": dataset.source})
    # MLflow accepts at most 36 characters as a digest.
    return MetaDataset(source=source, name=dataset.name, digest=dataset.fingerprint[:32])  # type: ignore[abstract]


def log_input(store: Store, run_id: str, dataset: Dataset) -> None:
    """Show the dataset among the run's inputs in MLflow's UI. Best effort: the tag is what nbops reads."""
    from mlflow.entities import DatasetInput

    try:
        store.client.log_inputs(run_id, [DatasetInput(mlflow_dataset(dataset)._to_mlflow_entity())])
    except Exception as error:  # noqa: BLE001 - nobody has shown that an Azure ML workspace keeps inputs
        _log.warning("%s is not shown among the run's inputs: %s", dataset.ref, error)


def _run_going_on() -> str | None:
    owned = os.environ.get(Env.OWNER_RUN) or os.environ.get("MLFLOW_RUN_ID")  # the latter alone in an Azure ML job
    if owned:
        return owned
    mlflow = sys.modules.get("mlflow")  # a run can be active only where mlflow was imported
    active = mlflow.active_run() if mlflow is not None else None
    return active.info.run_id if active is not None else None
