"""The rows that a model was logged with, as digests beside the model."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notebooks_lib.datasets import canonical_types, table_hashing
from notebooks_lib.errors import DatasetError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from notebooks_lib.tracking.store import Store

    Array = np.ndarray[Any, Any]

_FOLDER = "nbops"
_MOST_ROWS = 1_000_000
"""Rows of an example that are kept at most."""


@dataclass(frozen=True, eq=False)
class LoggedRows:
    """The digests of the example rows that a model was logged with."""

    columns: tuple[str, ...]
    digests: Array
    """Half a digest of each distinct row, sorted, so that they reveal nothing of the order."""


def training_rows(example: Any) -> LoggedRows | None:
    """Return digests of a model's example rows; None when the example is not a table that a dataset could hold."""
    import numpy as np
    import pandas as pd

    if not isinstance(example, pd.DataFrame) or not all(isinstance(name, str) for name in example.columns):
        return None
    digests = frame_digests(example.iloc[:_MOST_ROWS])
    return None if digests is None else LoggedRows(tuple(example.columns), np.unique(digests))


def log_training_rows(store: Store, run_id: str, model: str, example: Any) -> None:
    """Store digests of a model's example rows on its run, so that leakage can be found later."""
    import numpy as np

    rows = training_rows(example)
    if rows is None:
        return
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / _file_name(model)
        with file.open("wb") as opened:
            np.savez(opened, digests=rows.digests, columns=np.array(json.dumps(rows.columns)))
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
        table = canonical_types.normalise(
            pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
        )
    except (DatasetError, pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        return None
    return table_hashing.folded_digests(table)[:, 0].astype("u8")


def _file_name(model: str) -> str:
    return f"rows-of-{model}.npz"
