"""Columns in the types that digests are computed of: one type for each kind of content."""

from __future__ import annotations

import datetime
import json
from typing import TYPE_CHECKING

from notebooks_lib import errors
from notebooks_lib.datasets import column_kinds
from notebooks_lib.errors import DatasetError

if TYPE_CHECKING:
    import pyarrow as pa


EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


_PERIOD = b"pandas.period"


def normalise(table: pa.Table) -> pa.Table:
    """Return the table with each column as one of six kinds: integer, number, boolean, text, time, instant.

    Raises DatasetError, naming the column, when a column's type is none of these and does not fit one without loss.
    """
    import pyarrow as pa

    columns = []
    for name, field, column in zip(table.column_names, table.schema, table.columns, strict=True):
        try:
            columns.append(_plain(_storage(column, field)))
        except pa.ArrowInvalid as error:
            raise DatasetError(f"column {name!r} does not fit: {errors.reason(error)}") from error
        except TypeError as error:
            raise DatasetError(
                f"column {name!r} is of type {error}; a dataset holds integers, numbers, booleans, text and times: "
                "convert the column, or leave it out"
            ) from error
    return pa.table(columns, names=table.column_names)


def kinds(table: pa.Table) -> dict[str, str]:
    """Return the kind of each column of a normalised table, in column order."""
    return {field.name: kind(field.type) for field in table.schema}


def _storage(column: pa.ChunkedArray, field: pa.Field) -> pa.ChunkedArray:
    """Return a column without its extension type. Raises TypeError when its values mean nothing without it."""
    import pyarrow as pa

    extension = getattr(field.type, "extension_name", None) or (field.metadata or {}).get(b"ARROW:extension:name")
    if extension is None:
        return column
    name = extension if isinstance(extension, bytes) else extension.encode()
    if isinstance(column.type, pa.BaseExtensionType):
        column = column.cast(column.type.storage_type)
    if name == _PERIOD:
        return _periods(column, field)
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        raise TypeError(name.decode())
    return column


def _periods(column: pa.ChunkedArray, field: pa.Field) -> pa.ChunkedArray:
    """Return months, quarters and other periods of pandas as text, such as 2024-01."""
    import pandas as pd
    import pyarrow as pa

    serialized = (field.metadata or {}).get(b"ARROW:extension:metadata")
    freq = json.loads(serialized)["freq"] if serialized else field.type.freq
    ordinals = column.cast(pa.int64()).to_pylist()
    texts = [None if ordinal is None else str(pd.Period(ordinal=ordinal, freq=freq)) for ordinal in ordinals]
    return pa.chunked_array([pa.array(texts, pa.large_string())])


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    kind, types = column.type, pa.types
    if types.is_dictionary(kind):
        return _plain(column.cast(kind.value_type))
    if types.is_null(kind):
        return column.cast(pa.float64())
    if types.is_integer(kind):
        return _whole(column)
    if types.is_float32(kind):
        # Through the shortest text, as in a CSV file: 0.1 stays 0.1 instead of 0.10000000149.
        column = column.cast(pa.string()).cast(pa.float64())
    if types.is_decimal(kind):
        column = _decimal(column)
    if types.is_floating(column.type):
        column = column.cast(pa.float64())
        return pc.if_else(pc.is_nan(column), pa.scalar(None, pa.float64()), column)
    if types.is_boolean(kind):
        return column
    if types.is_string(column.type) or types.is_large_string(column.type) or types.is_string_view(column.type):
        column = column.cast(pa.large_string())
        return pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.large_string()), column)
    if types.is_date(kind) or types.is_timestamp(kind):
        zone = "UTC" if types.is_timestamp(kind) and kind.tz else None
        return column.cast(pa.timestamp("us", tz=zone))
    if types.is_time(kind):
        texts = [None if value is None else value.isoformat() for value in column.to_pylist()]
        return pa.chunked_array([pa.array(texts, pa.large_string())])
    raise TypeError(kind)


def _whole(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return whole numbers; texts where no number holds them all, as with ids of twenty digits."""
    import pyarrow as pa
    import pyarrow.compute as pc

    low, high = (pc.min_max(column)[end].as_py() or 0 for end in ("min", "max"))
    if high >= 2**63 or (column.null_count and max(-low, high) > column_kinds.EXACT):
        return column.cast(pa.large_string())
    return column.cast(pa.float64() if column.null_count else pa.int64())


def _decimal(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return decimals as numbers; as texts where a number does not give back each digit."""
    import pyarrow as pa

    numbers = column.cast(pa.float64())
    try:
        if numbers.cast(column.type).equals(column):
            return numbers
    except pa.ArrowInvalid:
        pass
    return column.cast(pa.large_string())


def kind(type_: pa.DataType) -> str:
    """Return the kind of a column of a normalised table, by its type."""
    import pyarrow as pa

    names = {pa.int64(): "integer", pa.float64(): "number", pa.bool_(): "boolean", pa.large_string(): "text"}
    return names.get(type_) or ("instant" if type_.tz else "time")
