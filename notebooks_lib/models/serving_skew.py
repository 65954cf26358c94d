"""The values that a served model gets, and whether its answers stay those of the model that was fitted."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from notebooks_lib.errors import ModelError, reason
from notebooks_lib.log_levels import quiet_loggers
from notebooks_lib.models.input_schema import BITS, Column, takes_table

if TYPE_CHECKING:
    import pandas as pd

CHECKED_ROWS = 50
"""Rows of an example whose predictions must be equal, as given and as served."""


def check_servable(model: Any, example: Any, schema: Any, columns: Sequence[Column]) -> None:
    """Raise ModelError, naming the column, if a served model would receive other values than in the notebook.

    The rows of `example` are predicted twice: as they are, and as they arrive through MLflow's schema and a JSON
    request.
    """
    import pandas as pd

    if not isinstance(example, pd.DataFrame):
        return
    if schema is None or not schema.has_input_names():
        with quiet_loggers("mlflow", level=logging.ERROR), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _refuse_types(example)
    elif takes_table(columns):
        rows = _telling(example)
        try:
            served = _as_enforced(rows, schema, columns)
        except Exception as error:
            raise ModelError(f"its example cannot be served: {_named(rows, columns, error)}{reason(error)}") from error
        _compare_answers(model, rows, served)


def as_served(frame: pd.DataFrame, columns: Sequence[Column]) -> pd.DataFrame:
    """Return a notebook's table as a served model would receive it. MLflow raises for values that do not fit."""
    import numpy as np
    import pandas as pd
    from pandas.api.types import is_object_dtype

    texts = (pd.StringDtype, pd.CategoricalDtype, pd.BooleanDtype)
    served = frame.copy(deep=False)
    for column in columns:
        if column.name not in served:
            continue
        values = served[column.name]
        dtype = values.dtype
        if column.type == "string" and (dtype.kind == "b" or is_object_dtype(dtype) or isinstance(dtype, texts)):
            values = values.astype(object)
            values = values.mask(values.isna() | (values == ""), np.nan)
        elif column.type == "datetime" and dtype.kind == "M":
            values = values.dt.tz_convert("UTC").dt.tz_localize(None) if getattr(dtype, "tz", None) else values
            values = values.astype("datetime64[ns]")
        elif column.type == "boolean" and not column.required and str(dtype) in ("bool", "boolean", "object"):
            values = values.astype(object).mask(values.isna(), np.nan)
        elif column.type == "boolean" and str(dtype) == "boolean" and not values.hasnans:
            values = values.astype("bool")
        elif dtype.kind in "iuf" and (column.type == "double" or (column.type in BITS and not column.required)):
            values = values.astype("float64")
        served[column.name] = values
    return served


def _as_enforced(rows: pd.DataFrame, schema: Any, columns: Sequence[Column]) -> pd.DataFrame:
    """Return the rows as a served model gets them after MLflow has enforced its schema."""
    from mlflow.models.utils import _enforce_schema
    from mlflow.types import Schema

    served = as_served(rows, columns)
    required = [spec for spec in schema.inputs if spec.required]
    if required:
        enforced = _enforce_schema(served[[spec.name for spec in required]], Schema(required))
        lost = [spec.name for spec in required if spec.name not in enforced]
        if lost:  # of columns 2, 0, 1 MLflow loses 0
            raise ModelError(f"column {lost[0]!r} is lost in MLflow's schema: name columns by texts")
        for spec in required:  # not `assign`: a column may be named by a number
            served[spec.name] = enforced[spec.name]
    return served


def _compare_answers(model: Any, rows: pd.DataFrame, served: pd.DataFrame) -> None:
    """Raise ModelError where serving changes a column, and with it an answer."""
    changed = [str(name) for name in served if not _same(rows[name], served[name])]
    if not changed:
        return
    try:
        here = model.predict(rows)
    except Exception:  # noqa: BLE001 - libraries whose models take no tables
        return
    fault = f"its answers depend on how {_kept(rows, served, changed[0])}"
    try:
        there = model.predict(served)
    except Exception as error:
        raise ModelError(f"{fault} ({reason(error)})") from error
    if not _alike(here, there):
        raise ModelError(fault)


def _telling(example: pd.DataFrame) -> pd.DataFrame:
    """Return some rows of the example, rows with missing values among them."""
    places = dict.fromkeys(range(min(len(example), CHECKED_ROWS // 2)))
    for name in example.columns:
        places |= dict.fromkeys(example[name].isna().to_numpy().nonzero()[0][:2].tolist())
    return example.iloc[list(places)[: 2 * CHECKED_ROWS]]


def _same(mine: Any, theirs: Any) -> bool:
    """Return whether two columns are the same to a model: same type, same missing values."""
    if mine.dtype != theirs.dtype:
        return False
    if mine.dtype != object:
        return True
    return all(
        a is b or (a == b and type(a) is type(b)) or (a != a and b != b) for a, b in zip(mine, theirs, strict=True)
    )


def _alike(here: Any, there: Any) -> bool:
    import numpy as np

    mine, theirs = np.asarray(here), np.asarray(there)
    if mine.shape != theirs.shape:
        return False
    if mine.dtype.kind in "fiub" and theirs.dtype.kind in "fiub":
        return bool(np.allclose(mine, theirs, rtol=1e-6, atol=1e-9, equal_nan=True))
    return bool(np.all(mine == theirs))


def _refuse_types(example: pd.DataFrame) -> None:
    """Raise ModelError for a column without an MLflow type, because of which the whole table has no schema."""
    from mlflow.models import infer_signature

    for name in example.columns:
        if not infer_signature(example[[name]]).inputs.has_input_names():
            dtype = str(example[name].dtype)
            matching = (advice for start, advice in _ADVICE.items() if dtype.startswith(start))
            advice = next(matching, "give numbers, texts or times")
            raise ModelError(f"column {name!r} ({dtype}) cannot be served: MLflow's schema has no such type; {advice}")


_ADVICE = {
    "period": "give its start, .dt.start_time, or its text, .astype(str)",
    "timedelta": "give a number: .dt.total_seconds()",
    "interval": "give its middle, .array.mid, or its text, .astype(str)",
    "uint": "give .astype('int64')",
    "object": "give values of one kind, such as .astype(str) or .astype(float)",
    "complex": "give its real and imaginary parts",
    "Sparse": "give it dense: .sparse.to_dense()",
}


def _kept(rows: pd.DataFrame, served: pd.DataFrame, name: str) -> str:
    """Return, in words, how a column differs between here and a served model, and what to do about it."""
    here, there = str(rows[name].dtype), str(served[name].dtype)
    if here == there and (rows[name] == "").any():
        return (
            f"an empty text of column {name!r} is kept; a served model gets NaN: .replace('', float('nan')) before fit"
        )
    if here == there:
        return f"a missing value of column {name!r} is kept; a served model gets NaN: fillna(float('nan')) before fit"
    zoned = getattr(rows[name].dtype, "tz", None) is not None  # pandas' astype refuses to drop the zone
    conversion = ".dt.tz_convert('UTC').dt.tz_localize(None)" if zoned else f".astype({there!r})"
    return f"column {name!r} is kept, {here} here and {there} when it is served: convert it before fit, by {conversion}"


def _named(rows: pd.DataFrame, columns: Sequence[Column], error: Exception) -> str:
    """Return the first column that MLflow's message is about, unless the message names it itself."""
    if any(f"column {name}" in str(error) or repr(name) in reason(error) for name in rows.columns):
        return ""
    suspects = [str(column.name) for column in columns if column.type == "datetime" and column.name in rows]
    return f"column {suspects[0]!r}: " if suspects else ""
