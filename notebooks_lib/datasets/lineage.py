"""Lineage: what a run records of its data. The datasets as tags and MLflow inputs, a model's example as digests."""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notebooks_lib.dataset_tag import DatasetTag
from notebooks_lib.datasets import hashing
from notebooks_lib.errors import DatasetError
from notebooks_lib.tags import Env, Tag

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from notebooks_lib.datasets.dataset import Dataset
    from notebooks_lib.tracking.store import Store

    Array = np.ndarray[Any, Any]

_FOLDER = "nbops"
_MOST_ROWS = 1_000_000
"""Rows of an example that are kept at most."""
_used: dict[str, str] = {}
_noted: set[tuple[str, str]] = set()
_log = logging.getLogger(__name__)


def tag_value(dataset: Dataset) -> str:
    """Return "name@version#fingerprint", the value of the tag that records a dataset on a run."""
    return str(DatasetTag.of(dataset.name, dataset.version, dataset.fingerprint))


def parse_tag(value: str) -> tuple[str, int, str]:
    """Return name, version and fingerprint from a tag's value. Raises DatasetError for anything else."""
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
        _log.warning("the run could not be told that %s was loaded: %s", dataset.ref, error)


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
    except Exception as error:  # noqa: BLE001 - nobody has shown that an Azure ML workspace keeps inputs
        _log.warning("%s is not shown among the run's inputs: %s", dataset.ref, error)


def _run_going_on() -> str | None:
    owned = os.environ.get(Env.OWNER_RUN) or os.environ.get("MLFLOW_RUN_ID")  # the latter alone in an Azure ML job
    if owned:
        return owned
    mlflow = sys.modules.get("mlflow")  # a run can be active only where mlflow was imported
    active = mlflow.active_run() if mlflow is not None else None
    return active.info.run_id if active is not None else None


@dataclass(frozen=True, eq=False)
class LoggedRows:
    """The rows that a model was logged with, as digests."""

    columns: tuple[str, ...]
    digests: Array
    """Half a digest of each distinct row, sorted, so that they reveal nothing of the order."""


def training_rows(example: Any) -> LoggedRows | None:
    """Return digests of a model's example rows; None when the example is no table that a dataset could hold."""
    import numpy as np
    import pandas as pd

    if not isinstance(example, pd.DataFrame) or not all(isinstance(name, str) for name in example.columns):
        return None
    digests = frame_digests(example.iloc[:_MOST_ROWS])
    return None if digests is None else LoggedRows(tuple(example.columns), np.unique(digests))


def log_training_rows(store: Store, run_id: str, model: str, example: Any) -> None:
    """Store digests of a model's example rows on its run, so that leakage can be found later."""
    import numpy as np

    kept = training_rows(example)
    if kept is None:
        return
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / _file_name(model)
        with file.open("wb") as opened:
            np.savez(opened, digests=kept.digests, columns=np.array(json.dumps(kept.columns)))
        store.client.log_artifact(run_id, str(file), _FOLDER)


def logged_training_rows(store: Store, run_id: str, model: str) -> LoggedRows | None:
    """Return the row digests that `log_training_rows` stored; None when there are none or they cannot be fetched."""
    import numpy as np

    with tempfile.TemporaryDirectory() as scratch:
        try:
            path = store.client.download_artifacts(run_id, f"{_FOLDER}/{_file_name(model)}", scratch)
            with np.load(path, allow_pickle=False) as archive:
                return LoggedRows(tuple(json.loads(str(archive["columns"]))), archive["digests"])
        except Exception:  # noqa: BLE001 - each store has its own error for a file that is not there
            return None


def frame_digests(frame: pd.DataFrame) -> Array | None:
    """Return the first half of each row's digest; None for a table with columns that a dataset cannot hold."""
    import pyarrow as pa

    try:
        table = hashing.normalise(pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None))
    except (DatasetError, pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        return None
    return hashing.folded_digests(table)[:, 0].astype("u8")


def _file_name(model: str) -> str:
    return f"rows-of-{model}.npz"
