"""Columns of an Arrow table as a model gets them: the same values, and the same faults, as a request to the endpoint.

Arrow's own casts take over where they give what `input_schema` gives value by value, which is a hundred times slower.
"""

from __future__ import annotations

import datetime
import json
import re
from typing import TYPE_CHECKING, Any

from notebooks_lib.errors import InputError
from notebooks_lib.models import input_schema
from notebooks_lib.models.input_schema import BITS, Column

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_DECIMAL = r"^[+-]?\d{1,25}(\.\d{1,25})?([eE][+-]?\d{1,2})?$"
"""Texts that Arrow and Python read as the same number: both round correctly."""
_WHOLE = r"^-?\d{1,18}$"
_EXACT = 2**53
"""Up to here every whole number is a double of its own."""
_ROW = re.compile(r"^(column ['\"].*?['\"]), row 0: (?=found )")


def read_column(values: pa.ChunkedArray, column: Column) -> tuple[pd.Series[Any], dict[int, str]]:
    """Return a column in the type that the model gets, and for each row whose value is refused, the cause.

    What the column holds for refused rows has no meaning.
    """
    import pyarrow as pa

    if isinstance(values.type, pa.JsonType):
        items = [None if text is None else json.loads(text) for text in values.to_pylist()]
    elif (quick := _quick(values, column)) is not None:
        return quick, {}
    else:
        items = values.to_pylist() if _is_text(values) else [_plain(item) for item in values.to_pylist()]
    try:
        return input_schema.column_values(items, column), {}
    except InputError:
        faults = {row: fault for row, item in enumerate(items) if (fault := _fault(item, column))}
    fitting = next((item for row, item in enumerate(items) if row not in faults), None)
    kept = [fitting if row in faults else item for row, item in enumerate(items)]
    if len(faults) == len(items):
        return missing_column(len(items)), faults
    return input_schema.column_values(kept, column), faults


def missing_column(rows: int) -> pd.Series[Any]:
    """Return a column without any value."""
    import pandas as pd

    return pd.Series([None] * rows, dtype=object)


def without_row(message: str) -> str:
    """Return the message about a single row without its number, which is that of another table."""
    return _ROW.sub(r"\1: ", message)


def _fault(item: Any, column: Column) -> str:
    try:
        input_schema.column_values([item], column)
    except InputError as error:
        return without_row(str(error))
    return ""


def _plain(item: Any) -> Any:
    """Return a value as a request in JSON has it."""
    from decimal import Decimal

    if isinstance(item, datetime.datetime | datetime.date):
        return item.isoformat()
    return float(item) if isinstance(item, Decimal) else item


def _quick(values: pa.ChunkedArray, column: Column) -> pd.Series[Any] | None:
    """Return the column by Arrow's casts; None where they could give something else than value by value."""
    import pyarrow as pa

    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if column.type in ("double", "float"):
        return _numbers(values, "float32" if column.type == "float" else "float64")
    if column.type in BITS:
        return _whole_numbers(values, column)
    if column.type == "string":
        return _texts(values)
    if column.type == "datetime":
        return _times(values)
    if column.type == "boolean" and column.required and pa.types.is_boolean(values.type) and not values.null_count:
        return _series(values.to_numpy(), "bool")
    return None


def _series(values: Any, dtype: str) -> pd.Series[Any]:
    import numpy as np
    import pandas as pd

    with np.errstate(over="ignore"):  # a double that is infinite as a float
        return pd.Series(values, dtype=dtype)


def _is_text(values: pa.ChunkedArray) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(values.type) or pa.types.is_large_string(values.type))


def _numbers(values: pa.ChunkedArray, dtype: str) -> pd.Series[Any] | None:
    import pyarrow as pa
    from pyarrow import compute

    if _is_text(values):
        values = _not_empty(values)
        if not compute.all(compute.match_substring_regex(values, _DECIMAL), min_count=0).as_py():
            return None
        values = compute.utf8_ltrim(values, "+").cast(pa.float64())
    elif pa.types.is_integer(values.type) or pa.types.is_null(values.type):
        values = values.cast(pa.float64(), safe=False)
    elif not pa.types.is_floating(values.type):
        return None
    return _series(values.cast(pa.float64()).to_numpy(), dtype)


def _whole_numbers(values: pa.ChunkedArray, column: Column) -> pd.Series[Any] | None:
    import pyarrow as pa
    from pyarrow import compute

    if _is_text(values):
        values = _not_empty(values)
        if not compute.all(compute.match_substring_regex(values, _WHOLE), min_count=0).as_py():
            return None
    elif pa.types.is_floating(values.type):
        values = values.cast(pa.float64())
        whole = compute.and_(compute.equal(values, compute.floor(values)), compute.less(compute.abs(values), _EXACT))
        if not compute.all(whole, min_count=0).as_py():
            return None
    elif not pa.types.is_integer(values.type):
        return None
    if values.null_count and column.required:
        return None
    try:
        values = values.cast(pa.int64() if BITS[column.type] == 64 else pa.int32())
    except pa.ArrowInvalid:  # too large
        return None
    if column.required:
        return _series(values.to_numpy(), f"int{BITS[column.type]}")
    return _series(values.cast(pa.float64(), safe=False).to_numpy(), "float64")


def _texts(values: pa.ChunkedArray) -> pd.Series[Any] | None:
    import numpy as np

    if not _is_text(values):
        return None
    texts = _series(_not_empty(values).to_numpy(), "object")
    return texts.where(texts.notna(), np.nan)


def _times(values: pa.ChunkedArray) -> pd.Series[Any] | None:
    import pyarrow as pa

    if pa.types.is_date(values.type):
        values = values.cast(pa.timestamp("s"), safe=False) if pa.types.is_date32(values.type) else values
    if not pa.types.is_timestamp(values.type):
        return None
    try:
        values = values.cast(pa.timestamp("ns", values.type.tz))
    except pa.ArrowInvalid:  # before 1678 or after 2261
        return None
    return _series(values.cast(pa.timestamp("ns")).to_numpy(), "datetime64[ns]")


def _not_empty(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return texts with missing values in place of empty ones."""
    import pyarrow as pa
    from pyarrow import compute

    return compute.if_else(compute.equal(values, ""), pa.scalar(None, values.type), values)
