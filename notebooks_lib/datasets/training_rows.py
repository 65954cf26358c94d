"""Which rows a model was logged with, as digests on its run; and whether rows of a holdout are among them.

`run.log_dataset` says what a notebook loaded by name. What it read by itself, from the very file that was added, only
the rows show that the model was logged with as its example: all of the training data, as the docs advise.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notebooks_lib.datasets import hashing, loader

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from notebooks_lib.settings import Settings
    from notebooks_lib.tracking.store import Store

    Array = np.ndarray[Any, Any]

FOLDER = "nbops"
MOST = 1_000_000
"""Rows of an example that are kept."""


@dataclass(frozen=True, eq=False)
class LoggedRows:
    """The rows that a model was logged with."""

    columns: tuple[str, ...]
    digests: Array
    """Half a digest of each row that differs, sorted: they tell nothing of the order."""


def of(example: Any) -> LoggedRows | None:
    """The digests of an example's rows; None for one that is no table of columns that a dataset could hold."""
    import numpy as np
    import pandas as pd

    if not isinstance(example, pd.DataFrame) or not all(isinstance(name, str) for name in example.columns):
        return None
    found = _digests(example.iloc[:MOST])
    return None if found is None else LoggedRows(tuple(example.columns), np.unique(found))


def keep(store: Store, run_id: str, model: str, example: Any) -> None:
    """Store the digests of the example that a model was logged with, on its run."""
    import numpy as np

    kept = of(example)
    if kept is None:
        return
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / _name(model)
        with file.open("wb") as opened:
            np.savez(opened, digests=kept.digests, columns=np.array(json.dumps(kept.columns)))
        store.client.log_artifact(run_id, str(file), FOLDER)


def kept(store: Store, run_id: str, model: str) -> LoggedRows | None:
    """What `keep` stored; None when it stored nothing, or it does not come."""
    import numpy as np

    with tempfile.TemporaryDirectory() as scratch:
        try:
            path = store.client.download_artifacts(run_id, f"{FOLDER}/{_name(model)}", scratch)
            with np.load(path, allow_pickle=False) as found:
                return LoggedRows(tuple(json.loads(str(found["columns"]))), found["digests"])
        except Exception:  # noqa: BLE001 - each store has its own error for a file that is not there
            return None


def seen_rows(ref: str, others: Sequence[str], mine: LoggedRows, settings: Settings) -> int | None:
    """How many holdout rows of `ref` have the features of a row that the model was logged with, and of no open row.

    Open are the train and validation rows of this version and of `others`, the versions that the run loaded. None
    when no row of the example is a row of any of them: then it came from elsewhere, and nobody knows what it holds.
    """
    import numpy as np

    opened = loader.open_table(ref, settings)
    if not set(mine.columns) <= set(opened.record.columns):
        return 0  # a model that takes other columns cannot be asked for these rows
    tables = [opened, *(loader.open_table(other, settings) for other in others if other != opened.ref)]
    tables = [each for each in tables if set(mine.columns) <= set(each.record.columns)]
    digests = [_digests(loader.frame(each.table.select(list(mine.columns)))) for each in tables]
    known = [each for each in digests if each is not None]
    if len(known) < len(digests):
        return None
    held = tables[0].masks["holdout"]
    open_ = np.concatenate([each[~table.masks["holdout"]] for each, table in zip(known, tables, strict=True)])
    among = np.isin(known[0][held], mine.digests) & ~np.isin(known[0][held], open_)
    if among.any():
        return int(among.sum())
    return 0 if np.isin(mine.digests, np.concatenate(known)).any() else None


def _digests(frame: pd.DataFrame) -> Array | None:
    import pyarrow as pa

    from notebooks_lib.errors import DatasetError

    try:
        table = hashing.normalise(pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None))
    except (DatasetError, pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        return None
    return hashing.folded_digests(table)[:, 0].astype("u8")


def _name(model: str) -> str:
    return f"rows-of-{model}.npz"
