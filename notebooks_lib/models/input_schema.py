"""The input of a model: values mean the same whether rows come from a notebook, as CSV or as JSON.

| column | a model gets | missing |
|---|---|---|
| double, float | numbers | NaN |
| long, integer | whole numbers | only where MLflow's schema has them optional |
| boolean | booleans; objects where the column is optional | NaN |
| string | objects that are texts | NaN; so is an empty text, as in a file |
| datetime | datetime64[ns] without a zone, in UTC | NaT |

MLflow's own enforcement leaves these types as they are. This module loads no model.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
import reprlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from notebooks_lib.errors import InputError, reason
from notebooks_lib.text_values import BOOLEANS, MISSING

if TYPE_CHECKING:
    import pandas as pd

_BRIEF = reprlib.Repr()
_BRIEF.maxstring = _BRIEF.maxother = 60
BITS = {"long": 64, "integer": 32}
"""Size of each type of whole numbers."""
_DAY_AND_TIME = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?)?", re.ASCII)
_LONGEST_NUMBER = 1000
"""Characters of a number; fewer than 800 tell every double from all others."""


@dataclass(frozen=True)
class Column:
    """One input, output or parameter of a model."""

    name: str | None
    """None: the signature names no columns, position counts."""
    type: str
    """MLflow's word (double, long, string, datetime, ...); of a tensor the numpy type."""
    required: bool = True
    shape: tuple[int, ...] | None = None
    """Of a tensor, -1 for any length; None for a column of a table."""


def columns_of(schema: Any) -> tuple[Column, ...]:
    """Return the columns of an MLflow schema; none if the schema is None."""
    return tuple(_column(spec) for spec in schema.inputs) if schema is not None else ()


def columns_of_json(text: str) -> tuple[Column, ...]:
    """Return the columns of a schema, given as JSON as in the MLmodel file."""
    return tuple(_column_of_json(spec) for spec in json.loads(text))


def type_name(kind: Any) -> str:
    """Return the name of a type as in MLflow's signatures."""
    return str(getattr(kind, "name", None) or kind)


def _column(spec: Any) -> Column:
    shape = getattr(spec, "shape", None)
    required = bool(getattr(spec, "required", True))
    return Column(spec.name, type_name(spec.type), required, tuple(shape) if shape is not None else None)


def _column_of_json(spec: Mapping[str, Any]) -> Column:
    tensor = spec.get("tensor-spec")
    if tensor is not None:
        return Column(spec.get("name"), str(tensor["dtype"]), shape=tuple(tensor["shape"]))
    return Column(spec.get("name"), str(spec["type"]), bool(spec.get("required", True)))


def takes_table(columns: Sequence[Column]) -> bool:
    """Return True if a model takes a table: each column has a name and a simple type."""
    return bool(columns) and all(
        column.name is not None and column.shape is None and column.type in _CELLS for column in columns
    )


def from_payload(payload: Mapping[str, Any], columns: Sequence[Column]) -> pd.DataFrame | None:
    """Return the table of a request in one of MLflow's four formats; None if the model has no named columns.

    Raises InputError for the first value that is not of its column's type.
    """
    import pandas as pd

    key, value = next(iter(payload.items()))
    if key == "dataframe_split" and isinstance(value, Mapping) and value.get("columns"):
        cells: dict[Any, list[Any]] = {}
        for place, name in enumerate(value["columns"]):
            cells[name] = [row[place] for row in value["data"]]
        index = value.get("index")
    elif isinstance(value, list) and value and all(isinstance(row, Mapping) for row in value):
        names = dict.fromkeys(name for row in value for name in row)
        cells, index = {name: [row.get(name) for row in value] for name in names}, None
    elif isinstance(value, Mapping) and key in ("inputs", "instances"):
        cells, index = {name: items if isinstance(items, list) else [items] for name, items in value.items()}, None
    else:
        return None
    table = pd.DataFrame(_columns(cells, columns))
    if index is not None:
        table.index = pd.Index(index)  # passed to DataFrame it would select rows instead of naming them
    return table


def from_csv(text: str, columns: Sequence[Column]) -> pd.DataFrame:
    """Return the table of a CSV text with a header. Columns unknown to the model stay texts.

    Raises InputError for a text that is not a table, and for the first value that is not of its column's type.
    """
    import pandas as pd

    try:
        lines = [line for line in csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True) if line]
    except csv.Error as error:
        raise InputError(f"text/csv: {reason(error)}") from error
    if not lines:
        raise InputError("text/csv: the body is empty; expected a line of column names and one for each row")
    names, *rows = lines
    if len(set(names)) != len(names):
        twice = next(name for name, count in Counter(names).items() if count > 1)
        raise InputError(f"text/csv: column {_BRIEF.repr(twice)} appears twice")
    for number, row in enumerate(rows):
        if len(row) != len(names):
            raise InputError(f"text/csv: row {number} has {len(row)} values; expected {len(names)}, as in the header")
    cells = {name: [row[place] for row in rows] for place, name in enumerate(names)}
    return pd.DataFrame(_columns(cells, columns))


def accept_missing_values(model: Any) -> Any:
    """Let a loaded pyfunc model take missing values in optional columns of booleans and of whole numbers.

    MLflow's signature calls these columns optional, but its enforcement rejects the values: pandas holds such booleans
    as objects, turns a column that is all missing into numbers, and has no missing whole number. Only the model in
    memory is changed.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema

    schema = model.metadata.get_input_schema()
    if not takes_table(columns_of(schema)):
        return model
    wide = {DataType.boolean: DataType.string, DataType.long: DataType.double, DataType.integer: DataType.double}
    specs = [
        spec if spec.required or spec.type not in wide else ColSpec(wide[spec.type], spec.name, required=False)
        for spec in schema.inputs
    ]
    old = model.metadata.signature
    model.metadata.signature = ModelSignature(inputs=Schema(specs), outputs=old.outputs, params=old.params)
    return model


def _columns(cells: Mapping[Any, list[Any]], columns: Sequence[Column]) -> dict[Any, pd.Series[Any]]:
    """Return every column in the type that the model gets; omitted optional ones are missing."""
    import pandas as pd

    rows = len(next(iter(cells.values()), []))
    by_name = {column.name: column for column in columns}
    table: dict[Any, Any] = {}
    for name, items in cells.items():
        table[name] = column_values(items, by_name[name]) if name in by_name else pd.Series(items, dtype=object)
    for column in columns:
        if not column.required and column.name not in table:
            table[column.name] = column_values([None] * rows, column)
    return table


def column_values(items: Sequence[Any], column: Column) -> pd.Series[Any]:
    """Return the values of one column of the model in the type that it gets.

    Raises InputError for the first value that is not of that type.
    """
    import numpy as np
    import pandas as pd

    if column.type == "datetime" and (moments := _moments(items)) is not None:
        return moments
    read, expected = _CELLS[column.type]
    cells = []
    for number, item in enumerate(items):
        try:
            cell = read(item)
        except (ValueError, OverflowError):
            cell = item
            wrong = True
        else:
            wrong = cell is None and column.type in _NEEDED and column.required
        if wrong:
            raise InputError(f"column {column.name!r}, row {number}: found {_BRIEF.repr(item)}; expected {expected}")
        cells.append(np.nan if cell is None else cell)
    if column.type == "datetime":
        return pd.Series(pd.to_datetime(pd.Series(cells, dtype=object), utc=True).dt.tz_localize(None)).astype(
            "datetime64[ns]"
        )
    if column.type in BITS:
        return pd.Series(cells, dtype=f"int{BITS[column.type]}" if column.required else "float64")
    dtypes = {"double": "float64", "float": "float32", "boolean": "bool" if column.required else "object"}
    with np.errstate(over="ignore"):  # a number that only a double holds is infinite as a float
        return pd.Series(cells, dtype=dtypes.get(column.type, "object"))


def _number(item: Any) -> float | None:
    if isinstance(item, str):
        item = item.strip()
        return None if item in MISSING else float(_digits(item))
    if item is None or item != item:
        return None
    if not isinstance(item, int | float):
        raise ValueError(item)
    return float(item)


def _digits(text: str) -> str:
    """Return the text if it may be a number. Raises ValueError for one that only Python reads: 1_000, other scripts.

    Megabytes of digits are refused as well: Python takes a second for them, during which no other thread runs.
    """
    if len(text) > _LONGEST_NUMBER or "_" in text or not text.isascii():
        raise ValueError(text)
    return text


def _whole(bits: int) -> Callable[[Any], int | None]:
    def read(item: Any) -> int | None:
        if isinstance(item, str):
            item = item.strip()
            if item in MISSING:
                return None
            item = int(_digits(item)) if item.lstrip("+-").isdecimal() and len(item) < 25 else float(_digits(item))
        if item is None or item != item:
            return None
        if not isinstance(item, int | float) or item != math.floor(item):
            raise ValueError(item)
        if not -(2 ** (bits - 1)) <= item < 2 ** (bits - 1):
            raise OverflowError(item)
        return int(item)

    return read


def _flag(item: Any) -> bool | None:
    if isinstance(item, str):
        item = item.strip()
        if item in MISSING:
            return None
        item = _FLAGS.get(item)
    elif item is None or item != item:
        return None
    if not isinstance(item, bool | int) or item not in (0, 1):
        raise ValueError(item)
    return bool(item)


_FLAGS = BOOLEANS | {"1": True, "0": False}


def _text(item: Any) -> str | None:
    if item is None or item != item:
        return None
    if not isinstance(item, str):
        raise ValueError(item)
    return item or None


def _moments(items: Sequence[Any]) -> pd.Series[Any] | None:
    """Return what `_moment` reads of each text, a hundred times faster; None where one is no plain time."""
    import pandas as pd

    if not all(item is None or isinstance(item, str) for item in items):
        return None
    stripped = [item.strip() if item else None for item in items]
    texts = [None if text is None or text in MISSING else text for text in stripped]
    if not all(text is None or _DAY_AND_TIME.fullmatch(text) for text in texts):
        return None  # such as one with a zone: pandas would read times without one as of that zone
    try:
        times = pd.to_datetime(pd.Series(texts, dtype=object), format="ISO8601", utc=True)
    except (ValueError, OverflowError):
        return None
    return times.dt.tz_localize(None).astype("datetime64[ns]")


def _moment(item: Any) -> Any:
    import pandas as pd

    if item is None or (isinstance(item, str) and item.strip() in MISSING):
        return None
    if not isinstance(item, str) or item.strip()[0] not in "0123456789":  # pandas would read "now" and "today" as times
        raise ValueError(item)
    return pd.to_datetime(item.strip(), format="ISO8601", utc=True)


_CELLS: Mapping[str, tuple[Callable[[Any], Any], str]] = {
    "double": (_number, "a number"),
    "float": (_number, "a number"),
    "long": (_whole(64), "a whole number"),
    "integer": (_whole(32), "a whole number"),
    "boolean": (_flag, "true or false"),
    "string": (_text, "a text"),
    "datetime": (_moment, "a time such as 2026-12-31T23:59:00Z, from 1678 to 2261"),
}
"""How a value of each type is read, and what the type is called when that fails."""
_NEEDED = ("long", "integer", "boolean")
"""Types without a missing value of their own."""
